"""Waiting out a dependency."""

import asyncio
import logging
from datetime import timedelta

import pytest

from agents.retry import Retry
from schemas.errors import Reason, Rejected, Unavailable

pytestmark = pytest.mark.unit

DOWN = Unavailable("triton", "no connection")


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 100.0
        self.slept = []

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def retry(time):
    """Without luck: every wait is as long as it may be."""
    return Retry("triton", rng=lambda: 1.0, sleep=time.sleep, clock=time.clock)


def failing(times, result="seen", error=DOWN):
    """A call that is unavailable so many times, and then gives the result."""
    errors = [error] * times

    async def call():
        await asyncio.sleep(0)
        if errors:
            raise errors.pop()
        return result

    return call


async def test_an_answer_costs_no_wait(retry, time):
    assert await retry(failing(0)) == "seen"
    assert time.slept == []


async def test_waits_double_up_to_the_cap(retry, time):
    assert await retry(failing(13)) == "seen"
    assert time.slept[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert time.slept[-1] == pytest.approx(10.0)
    assert max(time.slept) == pytest.approx(10.0)


async def test_a_thousand_failures_do_not_overflow(retry, time):
    assert await retry(failing(1500)) == "seen"
    assert time.slept[-1] == pytest.approx(10.0)


async def test_a_wait_is_anything_between_nothing_and_its_bound(time):
    draws = iter([0.0, 0.5, 0.25])
    retry = Retry("triton", rng=lambda: next(draws), sleep=time.sleep, clock=time.clock)
    await retry(failing(3))
    assert time.slept == [0.1, 0.1]  # none of 0.1, half of 0.2, a quarter of 0.4


async def test_first_and_cap_are_arguments(time):
    retry = Retry(
        "triton",
        first=timedelta(seconds=1),
        cap=timedelta(seconds=2),
        rng=lambda: 1.0,
        sleep=time.sleep,
        clock=time.clock,
    )
    await retry(failing(4))
    assert time.slept == [1.0, 2.0, 2.0, 2.0]


async def test_patience_that_was_asked_for_is_kept_within_reason(retry, time):
    await retry(failing(1, error=Unavailable("s3", "slow down", timedelta(seconds=7))))
    await retry(failing(1, error=Unavailable("s3", "slow down", timedelta(days=7))))
    assert time.slept == pytest.approx([7.0, 60.0])


@pytest.mark.parametrize("error", [Rejected(Reason.OBJECT_MISSING, "gone"), ZeroDivisionError()])
async def test_anything_but_unavailable_passes_through(retry, time, error):
    with pytest.raises(type(error)):
        await retry(failing(1, error=error))
    assert time.slept == []


async def test_every_wait_is_reported_when_it_is_over(time):
    waited = []
    retry = Retry("triton", on_wait=waited.append, rng=lambda: 1.0, sleep=time.sleep, clock=time.clock)
    await retry(failing(3))
    assert waited == pytest.approx([0.1, 0.2, 0.4])


async def test_one_call_that_fails_among_others_that_do_not_leaves_the_breaker_closed(retry):
    stubborn = asyncio.create_task(retry(failing(30)))
    while not stubborn.done():
        await retry(failing(0))
        assert not retry.open
    assert await stubborn == "seen"


class Server:
    """Down until told otherwise; remembers how many calls it had at once."""

    def __init__(self):
        self.up = False
        self.calls = self.now = self.most = 0

    async def call(self):
        self.calls += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        if not self.up:
            raise DOWN
        return "seen"


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_while_it_is_open_one_call_at_a_time_goes_through(retry):
    server = Server()
    calls = [asyncio.create_task(retry(server.call)) for _ in range(20)]
    await turns(5)
    assert retry.open
    server.most = server.now
    await turns(200)
    assert server.most == 1
    server.up = True
    assert await asyncio.gather(*calls) == ["seen"] * 20
    assert not retry.open


async def test_once_it_closes_all_that_wait_go_at_once(retry):
    up, inside, leave = False, 0, asyncio.Event()

    async def call():
        nonlocal inside
        await asyncio.sleep(0)
        if not up:
            raise DOWN
        inside += 1
        if inside > 1:  # all but the probe
            await leave.wait()

    calls = [asyncio.create_task(retry(call)) for _ in range(20)]
    await turns(100)
    up = True
    await turns(200)
    assert inside == 20
    leave.set()
    await asyncio.gather(*calls)


async def test_every_outage_begins_with_short_waits(retry, time):
    for _ in range(2):
        time.slept.clear()
        await retry(failing(20))
        assert time.slept[:7] == pytest.approx([0.1, 0.2, 0.4, 0.8, 0.1, 0.2, 0.4])


async def test_an_open_breaker_lets_few_calls_through(retry, time):
    server = Server()
    calls = [asyncio.create_task(retry(server.call)) for _ in range(20)]
    while time.now < 160:
        await turns(1)
    assert server.calls < 20 + 20  # 0.1 + 0.2 + … + 10 + 10 …, not 20 calls each
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_probe_that_is_cancelled_hands_over(retry):
    server = Server()
    calls = [asyncio.create_task(retry(server.call)) for _ in range(6)]
    await turns(50)
    assert retry.open
    for call in calls[:5]:
        call.cancel()
    server.up = True
    assert await calls[5] == "seen"
    assert await retry(server.call) == "seen"


async def test_probes_take_turns_so_that_one_bad_call_cannot_keep_it_open(retry):
    server = Server()

    async def always_down():
        await asyncio.sleep(0)
        raise DOWN

    bad = asyncio.create_task(retry(always_down))
    good = [asyncio.create_task(retry(server.call)) for _ in range(6)]
    await turns(20)
    assert retry.open
    server.up = True
    assert await asyncio.gather(*good) == ["seen"] * 6
    bad.cancel()
    await asyncio.gather(bad, return_exceptions=True)


async def test_a_reject_is_an_answer_and_closes_it(retry):
    errors = [DOWN] * 7

    async def call():
        if errors:
            raise errors.pop()
        raise Rejected(Reason.OBJECT_MISSING, "gone")

    with pytest.raises(Rejected):
        await retry(call)
    assert not retry.open


async def test_opening_and_closing_are_each_said_once(retry, caplog):
    caplog.set_level(logging.INFO, "agents.retry")
    server = Server()
    calls = [asyncio.create_task(retry(server.call)) for _ in range(20)]
    await turns(100)
    server.up = True
    await asyncio.gather(*calls)
    opened, closed = caplog.messages
    assert opened == "triton is unavailable (no connection): waiting, and trying again"
    assert closed.startswith("triton answers again after ")


async def test_a_long_closed_breaker_probes_at_once(retry, time):
    """The wait before a probe counts from the last failure, not from when a call comes."""
    call = asyncio.create_task(retry(failing(100)))
    while not retry.open:
        await turns(1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    time.now += 3600
    time.slept.clear()
    assert await retry(failing(0)) == "seen"
    assert time.slept == []


async def opened(retry, time):
    """The breaker is open, and a probe is not due yet."""
    call = asyncio.create_task(retry(failing(10**6)))
    while not retry.open:
        await turns(1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    retry._next_probe = time.now + 5
    time.slept.clear()


async def test_when_others_answer_a_call_gives_up_at_once_and_probes_when_that_is_due(retry, time):
    await opened(retry, time)
    answering = failing(0)
    with pytest.raises(Unavailable, match="others are not"):
        await retry(answering, unless=lambda: True)
    assert time.slept == []
    time.now += 5
    assert await retry(answering, unless=lambda: True) == "seen"
    assert not retry.open


async def test_who_insists_waits_for_a_probe(retry, time):
    await opened(retry, time)
    assert await retry(failing(0), unless=lambda: True, insist=True) == "seen"
    assert time.slept == [5]


async def test_of_many_who_insist_one_finds_out_for_all(retry, time):
    await opened(retry, time)
    asked = []

    async def call():
        asked.append(1)
        await asyncio.sleep(0)
        raise DOWN

    failures = await asyncio.gather(
        *(retry(call, unless=lambda: True, insist=True) for _ in range(20)), return_exceptions=True
    )
    assert {type(each) for each in failures} == {Unavailable}
    assert len(asked) == 1
