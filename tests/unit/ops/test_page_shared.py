import asyncio

import pytest

from ops.page.shared import Shared
from tests.support.clock import Clock

pytestmark = pytest.mark.unit


class Loads:
    """Counts loads; each waits until it may go on."""

    def __init__(self):
        self.asked = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error = None

    async def __call__(self, key):
        self.asked.append(key)
        number = len(self.asked)
        await self.may_answer.wait()
        if self.error:
            raise self.error
        return f"{key}{number}"


async def test_many_who_ask_at_once_cost_one_load():
    loads = Loads()
    shared = Shared(loads, seconds=1)
    assert await asyncio.gather(*(shared.get("a") for _ in range(50))) == ["a1"] * 50
    assert loads.asked == ["a"]


async def test_an_answer_is_kept_for_its_time_and_no_longer():
    loads, clock = Loads(), Clock()
    shared = Shared(loads, seconds=1, clock=clock)
    assert await shared.get("a") == "a1"
    clock.now += 1
    assert await shared.get("a") == "a1"
    clock.now += 0.1
    assert await shared.get("a") == "a2"


async def test_the_time_begins_with_the_answer():
    loads, clock = Loads(), Clock()
    loads.may_answer.clear()
    shared = Shared(loads, seconds=1, clock=clock)
    first = asyncio.create_task(shared.get("a"))
    await asyncio.sleep(0)
    clock.now += 5
    loads.may_answer.set()
    assert [await first, await shared.get("a")] == ["a1", "a1"]


async def test_keys_do_not_wait_for_each_other():
    loads = Loads()
    shared = Shared(loads, seconds=1)
    assert await asyncio.gather(shared.get("a"), shared.get("b")) == ["a1", "b2"]


async def test_an_error_is_everybodys_and_is_not_asked_for_again_at_once():
    loads, clock = Loads(), Clock()
    loads.error = OSError("down")
    shared = Shared(loads, seconds=1, clock=clock)
    answers = await asyncio.gather(shared.get("a"), shared.get("a"), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["down", "down"]
    with pytest.raises(OSError, match="down"):
        await shared.get("a")
    assert loads.asked == ["a"]
    clock.now += 2
    loads.error = None
    assert await shared.get("a") == "a2"


async def test_who_goes_away_takes_the_answer_from_nobody():
    loads = Loads()
    loads.may_answer.clear()
    shared = Shared(loads, seconds=1)
    leaves, stays = (asyncio.create_task(shared.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    loads.may_answer.set()
    assert await stays == "a1"
