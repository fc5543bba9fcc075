"""A bound on what is held at once."""

import asyncio

import pytest

from agents.photo.room import Room

pytestmark = pytest.mark.unit


class Holders:
    """Tasks that take room, each until it is let go."""

    def __init__(self, room):
        self.room = room
        self.inside = []
        self.leave = {}
        self.tasks = []

    def come(self, name, wanted):
        self.leave[name] = asyncio.Event()
        self.tasks.append(asyncio.create_task(self._hold(name, wanted)))

    async def _hold(self, name, wanted):
        async with self.room.take(wanted):
            self.inside.append(name)
            await self.leave[name].wait()
        self.inside.remove(name)

    async def settle(self):
        for _ in range(20):
            await asyncio.sleep(0)
        return sorted(self.inside)


@pytest.fixture
async def holders():
    it = Holders(Room(10))
    yield it
    for task in it.tasks:
        task.cancel()
    await asyncio.gather(*it.tasks, return_exceptions=True)


async def test_as_many_as_fit_are_inside_at_once(holders):
    for name in "abc":
        holders.come(name, 4)
    assert await holders.settle() == ["a", "b"]
    holders.leave["a"].set()
    assert await holders.settle() == ["b", "c"]


async def test_a_big_one_is_not_passed_by_small_ones(holders):
    holders.come("small", 4)
    await holders.settle()
    holders.come("big", 10)
    holders.come("late", 1)
    assert await holders.settle() == ["small"]
    holders.leave["small"].set()
    assert await holders.settle() == ["big"]
    holders.leave["big"].set()
    assert await holders.settle() == ["late"]


async def test_more_than_there_is_means_all_of_it(holders):
    holders.come("huge", 1000)
    holders.come("other", 1)
    assert await holders.settle() == ["huge"]


async def test_who_is_cancelled_while_waiting_or_inside_takes_nothing_along(holders):
    for name in "ab":
        holders.come(name, 10)
    await holders.settle()
    for task in holders.tasks:
        task.cancel()
    holders.inside.clear()
    holders.come("c", 10)
    assert await holders.settle() == ["c"]
