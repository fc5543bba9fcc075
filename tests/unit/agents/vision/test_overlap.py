"""Which boxes stay of those that overlap."""

import numpy as np
import pytest

from agents.vision.overlap import distinct

pytestmark = pytest.mark.unit


def kept(*boxes, most_overlap=0.5):
    return distinct(np.array(boxes, np.float32).reshape(-1, 4), most_overlap=most_overlap)


def test_of_two_that_overlap_more_the_first_stays():
    assert kept((0, 0, 10, 10), (0, 0, 10, 9), (20, 0, 30, 10)) == [0, 2]


def test_overlap_is_what_both_have_of_what_either_has():
    half = (0, 0, 10, 10), (0, 0, 10, 5)
    assert kept(*half, most_overlap=0.5) == [0, 1]
    assert kept(*half, most_overlap=0.49) == [0]


def test_what_has_gone_takes_no_other_with_it():
    assert kept((0, 0, 10, 10), (3, 0, 13, 10), (6, 0, 16, 10), most_overlap=0.5) == [0, 2]


def test_no_boxes_and_empty_boxes():
    assert kept() == []
    assert kept((5, 5, 5, 5), (5, 5, 5, 5), (6, 6, 4, 4)) == [0, 1, 2]
