"""What a worker writes to stderr."""

import logging

import pytest

from streams.logs import Sparing
from tests.support.clock import Clock

pytestmark = pytest.mark.unit


def complaint(line, what="%s is away", *arguments):
    return logging.LogRecord("aiokafka", logging.ERROR, "client.py", line, what, arguments or ("node 1",), None)


def test_the_same_complaint_comes_through_once_in_half_a_minute_and_says_how_many_were_left_out():
    clock = Clock()
    sparing = Sparing(clock)
    assert sparing.filter(complaint(1))
    assert not any(sparing.filter(complaint(1)) for _ in range(40))
    clock.now += 31
    again = complaint(1)
    assert sparing.filter(again)
    assert again.getMessage() == "node 1 is away (and 40 such lines before)"


def test_another_complaint_comes_through_at_once():
    sparing = Sparing(Clock())
    assert sparing.filter(complaint(1))
    assert sparing.filter(complaint(2))
