"""The whole picture in a square, and the way back."""

import numpy as np
import pytest

from agents.vision.letterbox import Box, letterbox
from agents.vision.model import Frame

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        (640, 480, (416, 312)),
        (480, 640, (312, 416)),
        (416, 416, (416, 416)),
        (1000, 1, (416, 1)),
        (1, 1, (416, 416)),
        (3, 2, (416, 277)),
    ],
)
def test_the_picture_fills_the_square_from_the_top_left_and_the_rest_is_black(width, height, box):
    square = letterbox(np.full((height, width, 3), 255, np.uint8), 416)
    assert (square.shape, square.dtype) == ((1, 416, 416, 3), np.uint8)
    assert tuple(Box.of(Frame(width, height), 416)) == box
    assert square[0, : box[1], : box[0]].min() == 255
    assert square.sum() == 3 * 255 * box[0] * box[1]


def test_points_of_the_square_are_fractions_of_the_picture():
    box = Box.of(Frame(640, 480), 416)
    points = np.array([[0, 0], [416, 312], [208, 78]], np.float32)
    assert box.fractions(points).tolist() == [[0, 0], [1, 1], [0.5, 0.25]]


def test_what_lies_outside_the_picture_is_moved_to_its_edge():
    box = Box.of(Frame(640, 480), 416)
    assert box.fractions(np.array([[-5, 400]], np.float32)).tolist() == [[0, 1]]
