"""face_detect: what is shown to the model, and what is made of its answer."""

import numpy as np
import pytest

from agents.photo.decode import Picture
from agents.vision.face_detect import FACE_DETECT
from agents.vision.model import Frame

pytestmark = pytest.mark.unit

FRAME = Frame(384, 192)
POINTS = [(40, 40), (60, 40), (50, 50), (50, 60), (30, 45), (70, 45)]


def read(*faces):
    """Of (score, middle x, y, width, height), in pixels of the square, each with the same points."""
    outputs = {name: np.zeros(shape, np.float32) for name, shape in FACE_DETECT.outputs.items()}
    for index, (score, *box) in enumerate(sorted(faces, reverse=True)):
        outputs["scores"][0, index] = score
        outputs["faces"][0, index] = [*box, *np.ravel(POINTS)]
    return FACE_DETECT.read(outputs, FRAME)


def test_any_picture_becomes_a_square_of_bytes_red_first():
    pixels = np.full((300, 451, 3), (250, 100, 0), np.uint8)
    image = FACE_DETECT.prepare(Picture(pixels, 451, 300, "image/png"))["image"]
    assert (image.shape, image.dtype) == ((1, 192, 192, 3), np.uint8)
    assert image[0, 0, 0].tolist() == [250, 100, 0]


def test_a_face_has_its_box_and_six_points_in_fractions_of_the_picture():
    result = read((0.9, 96, 48, 96, 48))
    [face] = result.regions
    assert (face.name, face.score) == ("face", pytest.approx(0.9))
    assert (face.left, face.top, face.width, face.height) == (0.25, 0.25, 0.5, 0.5)
    assert list(face.points) == pytest.approx([part for x, y in POINTS for part in (x / 192, y / 96)])
    assert (result.model, result.version, list(result.labels)) == ("face_detect", "1", [])


def test_one_face_is_told_once_and_the_most_confident_first():
    result = read((0.8, 50, 50, 40, 40), (0.9, 54, 50, 40, 40), (0.95, 150, 50, 20, 20))
    assert [face.score for face in result.regions] == pytest.approx([0.95, 0.9])


def test_what_is_barely_a_face_is_none():
    assert list(read((0.69, 50, 50, 40, 40)).regions) == []
