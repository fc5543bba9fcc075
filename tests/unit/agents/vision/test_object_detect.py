"""object_detect: what is shown to the model, and what is made of its answer."""

import numpy as np
import pytest

from agents.photo.decode import Picture
from agents.vision.model import Frame
from agents.vision.object_detect import OBJECT_DETECT
from tests.support.reference_sight import COCO

pytestmark = pytest.mark.unit

FRAME = Frame(832, 416)


def read(*places, frame=FRAME):
    """Of (name, score, left, top, right, bottom), in pixels of the square."""
    places = sorted(places, key=lambda place: -place[1])
    outputs = {name: np.zeros(shape, np.float32) for name, shape in OBJECT_DETECT.outputs.items()}
    for index, (name, score, *box) in enumerate(places):
        outputs["scores"][0, index] = score
        outputs["classes"][0, index] = COCO.index(name)
        outputs["boxes"][0, index] = box
    return OBJECT_DETECT.read(outputs, frame)


def test_any_picture_becomes_a_square_of_bytes_red_first():
    pixels = np.full((300, 451, 3), (250, 100, 0), np.uint8)
    image = OBJECT_DETECT.prepare(Picture(pixels, 451, 300, "image/png"))["image"]
    assert (image.shape, image.dtype) == ((1, 416, 416, 3), np.uint8)
    assert image[0, 0, 0].tolist() == [250, 100, 0]


def test_regions_are_fractions_of_the_picture_most_confident_first():
    result = read(("cat", 0.5, 0, 0, 104, 104), ("dog", 0.9, 104, 52, 416, 208))
    assert [(region.name, region.score) for region in result.regions] == [
        ("dog", pytest.approx(0.9)),
        ("cat", pytest.approx(0.5)),
    ]
    dog = result.regions[0]
    assert (dog.left, dog.top, dog.width, dog.height) == (0.25, 0.25, 0.75, 0.75)
    assert (result.model, result.version) == ("object_detect", "1")


def test_each_name_is_a_label_once_with_its_best_score():
    result = read(("cat", 0.5, 0, 0, 9, 9), ("dog", 0.6, 0, 0, 9, 9), ("cat", 0.8, 90, 90, 99, 99))
    assert [(label.name, label.score) for label in result.labels] == [
        ("cat", pytest.approx(0.8)),
        ("dog", pytest.approx(0.6)),
    ]


def test_what_is_seen_twice_in_one_place_is_one_unless_it_is_something_else():
    result = read(("horse", 0.9, 0, 0, 100, 100), ("horse", 0.8, 0, 0, 100, 95), ("person", 0.7, 0, 0, 100, 100))
    assert [region.name for region in result.regions] == ["horse", "person"]


def test_what_is_barely_seen_is_not_told():
    result = read(("cat", 0.34, 0, 0, 9, 9))
    assert (list(result.labels), list(result.regions)) == ([], [])


def test_at_most_a_hundred_regions():
    places = [("bird", 0.9, 20 * x, 20 * y, 20 * x + 9, 20 * y + 9) for x in range(20) for y in range(10)]
    assert len(read(*places).regions) == 100


def test_boxes_end_where_the_picture_does():
    [region] = read(("cat", 0.9, -10, 100, 500, 300)).regions
    assert (region.left, region.width) == (0, 1)
    assert region.top + region.height == 1


def test_every_name_is_known():
    seen = [read((name, 0.9, 0, 0, 9, 9)).regions[0].name for name in COCO]
    assert seen == list(COCO)
