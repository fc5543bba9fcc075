"""Several calls at once."""

import asyncio

import pytest

from agents.together import together

pytestmark = pytest.mark.unit


async def test_results_come_in_the_order_of_the_calls():
    events = [asyncio.Event() for _ in range(3)]

    async def call(n):
        await events[n].wait()
        if n:
            events[n - 1].set()
        return n

    events[2].set()
    assert await together(call(n) for n in range(3)) == [0, 1, 2]


async def test_the_first_error_is_raised_as_it_is_and_the_others_are_cancelled():
    cancelled = []

    async def waits():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await together([waits(), fails(), waits()])
    assert cancelled == [True, True]


async def test_of_nothing_comes_nothing():
    assert await together([]) == []
