import asyncio
import threading
import time

import pytest
from faust.types import TP

from agents.life import life
from agents.together import together
from streams.threads import finish
from streams.watchdog import Unread, Watchdog, watch
from tests.support.clock import Clock
from tests.support.eventually import eventually

pytestmark = pytest.mark.unit

ONE, TWO = TP("photos.events", 1), TP("photos.events", 2)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def watchdog(clock):
    return Watchdog(clock=clock)


async def hang():
    await asyncio.Event().wait()


async def started(watchdog, tp, call):
    """Its work under way, as far as it comes by itself."""

    async def work():
        with watchdog.work(tp):
            await call()

    task = asyncio.create_task(work())
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def end(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_work_that_gives_no_sign_for_the_limit_is_stuck_and_where_is_told(watchdog, clock):
    task = await started(watchdog, ONE, hang)
    clock.now += 9
    assert watchdog.stuck(10) is None
    clock.now += 1
    stuck = str(watchdog.stuck(10))
    assert stuck.startswith("photos.events-1 makes no progress for 10 s: at ")
    assert stuck.endswith(" in hang")
    assert "tests/unit/streams/test_watchdog.py:" in stuck
    await end(task)


async def test_work_that_is_over_is_forgotten(watchdog, clock):
    async def short():
        await asyncio.sleep(0)

    await (await started(watchdog, ONE, short))
    clock.now += 100
    assert watchdog.stuck(10) is None


async def test_signs_of_life_and_declared_waits_count_whatever_the_time(watchdog, clock):
    going_on = asyncio.Event()

    async def wait():
        with life().wait():
            await going_on.wait()
        await hang()

    task = await started(watchdog, ONE, wait)
    clock.now += 1000
    assert watchdog.stuck(10) is None
    going_on.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.now += 9
    watchdog.sign(ONE)  # as a thread does at a boundary
    clock.now += 9
    assert watchdog.stuck(10) is None
    clock.now += 1
    assert watchdog.stuck(10)
    await end(task)


async def test_of_several_tasks_the_ones_that_are_left_are_told(watchdog, clock):
    async def several():
        await together([hang(), hang(), asyncio.sleep(0)])

    task = await started(watchdog, ONE, several)
    clock.now += 10
    assert "2 tasks, at tests/unit/streams/test_watchdog.py:" in str(watchdog.stuck(10))
    await end(task)


async def test_a_batch_that_nobody_takes_up_is_stuck_too(watchdog, clock):
    watchdog.expect(ONE)
    clock.now += 10
    assert "nobody took it up" in str(watchdog.stuck(10))
    watchdog.forget()
    assert watchdog.stuck(10) is None


async def test_work_in_a_thread_is_told_by_who_waits_for_it(watchdog, clock):
    from concurrent.futures import ThreadPoolExecutor

    go = threading.Event()
    with ThreadPoolExecutor(1) as threads:

        async def waits_for_a_thread():
            await finish(threads, go.wait)

        task = await started(watchdog, TWO, waits_for_a_thread)
        clock.now += 10
        assert str(watchdog.stuck(10)).endswith(" in waits_for_a_thread")
        go.set()
        await task


async def test_what_holds_up_the_event_loop_is_told_from_a_thread():
    watchdog = Watchdog()
    told = []

    async def loop_for_ever():
        while not told:
            time.sleep(0.01)  # noqa: ASYNC251 (that is what is wrong with it)

    ended = threading.Event()
    thread = threading.Thread(target=watch, args=(watchdog, 0.2, ended, told.append))
    thread.start()
    await (await started(watchdog, ONE, loop_for_ever))
    thread.join(5)
    assert " in loop_for_ever" in str(told[0])


def test_a_watch_ends_with_the_worker():
    ended = threading.Event()
    thread = threading.Thread(target=watch, args=(Watchdog(), 1000, ended, print))
    thread.start()
    ended.set()
    thread.join(5)

    def over():
        assert not thread.is_alive()

    eventually(over)


@pytest.fixture
def unread(clock):
    return Unread(10, clock=clock)


def test_a_free_partition_whose_records_are_not_fetched_for_the_limit_is_stuck(unread, clock):
    assert unread.look({ONE: 5, TWO: 7}, {ONE: 9, TWO: 7}) is None
    clock.now += 10
    assert str(unread.look({ONE: 5, TWO: 7}, {ONE: 9, TWO: 7})) == (
        "photos.events-1 has records from 5 to 9, and none was fetched for 10 s"
    )


@pytest.mark.parametrize("later", [{ONE: 6}, {}], ids=["it went on", "it was not free"])
def test_one_that_moves_or_has_work_is_not(unread, clock, later):
    unread.look({ONE: 5}, {ONE: 9})
    clock.now += 9
    unread.look(later, {ONE: 9})
    clock.now += 9
    assert unread.look({ONE: max(later.values(), default=5)}, {ONE: 9}) is None


def test_records_that_have_just_come_are_given_time(unread, clock):
    unread.look({ONE: 5}, {ONE: 5})
    clock.now += 1000
    assert unread.look({ONE: 5}, {ONE: 9}) is None
