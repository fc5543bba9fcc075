"""unsafe: what is shown to the model, and what is made of its answer."""

import numpy as np
import pytest

from agents.photo.decode import Picture
from agents.vision.model import Frame
from agents.vision.unsafe import UNSAFE

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("height", "width"), [(256, 256), (300, 451), (2000, 300), (1, 1)])
def test_any_picture_becomes_one_image_of_bytes_red_first(height, width):
    pixels = np.full((height, width, 3), (250, 100, 0), np.uint8)
    image = UNSAFE.prepare(Picture(pixels, width, height, "image/png"))["image"]
    assert (image.shape, image.dtype) == ((1, 224, 224, 3), np.uint8)
    assert image[0, 0, 0].tolist() == [250, 100, 0]


def test_the_picture_is_squeezed_and_its_middle_shown():
    across = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (64, 1, 3))
    image = UNSAFE.prepare(Picture(across, 256, 64, "image/png"))["image"]
    assert image[0, :, :, 0].tolist() == [list(range(16, 240))] * 224


@pytest.mark.parametrize(("probs", "names"), [((0.9, 0.1), ["safe", "unsafe"]), ((0.2, 0.8), ["unsafe", "safe"])])
def test_both_labels_are_told_the_likelier_first(probs, names):
    result = UNSAFE.read({"probs": np.array([probs], np.float32)}, Frame(640, 480))
    assert [label.name for label in result.labels] == names
    assert [label.score for label in result.labels] == pytest.approx(sorted(probs, reverse=True))
    assert (result.model, result.version) == ("unsafe", "1")
