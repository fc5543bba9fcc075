import asyncio

import pytest

from agents.life import Life, life
from agents.photo.room import Room
from agents.retry import Retry
from agents.together import together
from schemas.errors import Unavailable
from tests.support.clock import Clock

pytestmark = pytest.mark.unit


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def mine(clock):
    life = Life(clock=clock)
    with life.of_this_context():
        yield life


def test_it_is_quiet_since_the_last_sign(mine, clock):
    clock.now += 7
    assert life().quiet_seconds() == 7
    life().sign()
    assert mine.quiet_seconds() == 0


def test_while_a_wait_is_declared_it_is_never_quiet_and_then_from_its_end_on(mine, clock):
    with life().wait():
        with life().wait():
            clock.now += 1000
        clock.now += 1000
        assert mine.quiet_seconds() == 0
    clock.now += 3
    assert mine.quiet_seconds() == 3


def test_who_queues_is_as_alive_as_what_it_queues_for(mine, clock):
    ahead = Life(clock=clock)
    with mine.behind(ahead):
        clock.now += 50
        ahead.sign()
        clock.now += 2
        assert mine.quiet_seconds() == 2
        with ahead.wait():
            clock.now += 1000
            assert mine.quiet_seconds() == 0
    assert mine.quiet_seconds() == 0


async def test_tasks_that_work_starts_give_their_signs_to_it_and_are_part_of_it(mine, clock):
    clock.now += 9

    async def signs():
        assert life() is mine
        assert len(mine.tasks) == 2
        life().sign()

    async def rests():
        await asyncio.sleep(0)

    await together([signs(), rests()])
    assert mine.quiet_seconds() == 0
    await asyncio.sleep(0)
    assert mine.tasks == set()


def test_outside_of_any_work_signs_are_nobody_s(clock):
    with life().wait():
        life().sign()


async def test_a_retry_declares_its_waits_also_those_in_the_queue_behind_its_breaker(mine, clock):
    quiet, up = [], asyncio.Event()

    async def sleep(seconds):
        clock.now += 1000
        quiet.append([each.quiet_seconds() for each in lives])
        await asyncio.sleep(0)

    async def call():
        clock.now += 1
        if len(quiet) < 20:
            raise Unavailable("triton", "down")

    retry = Retry("triton", sleep=sleep, clock=clock, rng=lambda: 1.0)
    retry._life = Life(clock=clock)
    lives = [Life(clock=clock) for _ in range(3)]

    async def of(each):
        with each.of_this_context():
            await retry(call)

    await asyncio.gather(*(of(each) for each in lives))
    assert not up.is_set()
    # While the breaker is open, one waits to probe, and the others for their turn: all of them live.
    assert quiet[-5:] == [[0.0, 0.0, 0.0]] * 5


async def test_a_hanging_probe_is_no_sign_of_life_for_those_behind_it(mine, clock):
    asked = asyncio.Event()

    async def hang():
        asked.set()
        await asyncio.Event().wait()

    async def fail():
        raise Unavailable("triton", "down")

    retry = Retry("triton", clock=clock, sleep=lambda _: asyncio.sleep(0), rng=lambda: 0.0)
    retry._life = Life(clock=clock)
    for _ in range(5):
        retry._failed(Unavailable("triton", "down"))
    head = asyncio.create_task(retry(hang))
    await asked.wait()
    behind = asyncio.create_task(retry(fail))
    await asyncio.sleep(0)
    clock.now += 60
    assert mine.quiet_seconds() == 60
    for task in (head, behind):
        task.cancel()
    await asyncio.gather(head, behind, return_exceptions=True)


async def test_a_cancelled_probe_lets_the_next_through():
    retry = Retry("triton", sleep=lambda _: asyncio.sleep(0), rng=lambda: 0.0)
    for _ in range(5):
        retry._failed(Unavailable("triton", "down"))

    async def hang():
        await asyncio.Event().wait()

    async def answer():
        return "here"

    head = asyncio.create_task(retry(hang))
    await asyncio.sleep(0)
    behind = asyncio.create_task(retry(answer))
    await asyncio.sleep(0)
    head.cancel()
    assert await behind == "here"


async def test_who_waits_for_room_lives_while_room_is_given_back(clock):
    room = Room(10)
    room._life = Life(clock=clock)
    mine = Life(clock=clock)
    entered = asyncio.Event()

    async def wait():
        with mine.of_this_context():
            async with room.take(10):
                entered.set()

    async with room.take(5):
        async with room.take(5):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            clock.now += 60
            assert mine.quiet_seconds() == 60
        assert mine.quiet_seconds() == 0, "some was given back"
    await waiting
    assert entered.is_set()
