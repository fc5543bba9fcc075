"""Waiting for something that another process brings about, without sleeping blindly."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(assertion: Callable[[], T], *, within: float = 10.0, every: float = 0.02) -> T:
    """Call the assertion until it passes; its last AssertionError when `within` seconds are over."""
    end = time.monotonic() + within
    while True:
        try:
            return assertion()
        except AssertionError:
            if time.monotonic() > end:
                raise
        time.sleep(every)
