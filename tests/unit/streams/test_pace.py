from datetime import UTC, datetime, timedelta

import pytest

from streams.pace import A_SECOND, AT_ONCE, Pace, inserts_within

pytestmark = pytest.mark.unit


class Time:
    def __init__(self):
        self.now = 0.0
        self.slept = 0.0

    def clock(self):
        return datetime.fromtimestamp(self.now, UTC)

    async def sleep(self, seconds):
        self.now += seconds
        self.slept += seconds


async def test_nobody_waits_before_the_bucket_is_empty():
    time = Time()
    pace = Pace(clock=time.clock, sleep=time.sleep)
    for _ in range(AT_ONCE):
        await pace()
    assert time.slept == 0
    await pace()
    assert time.slept == pytest.approx(1 / A_SECOND)


async def test_within_any_time_there_are_no_more_inserts_than_it_says():
    time = Time()
    pace = Pace(clock=time.clock, sleep=time.sleep)
    began, made = time.now, 0
    while time.now - began < 1000:
        await pace()
        made += 1
    assert made <= inserts_within(timedelta(seconds=1000)) + 1


async def test_a_quiet_time_fills_the_bucket_and_no_more():
    time = Time()
    pace = Pace(clock=time.clock, sleep=time.sleep)
    time.now = 10.0**9
    for _ in range(AT_ONCE):
        await pace()
    assert time.slept == 0
    await pace()
    assert time.slept > 0


async def test_a_bucket_is_the_same_in_other_hands():
    time = Time()
    pace = Pace(clock=time.clock, sleep=time.sleep)
    for _ in range(AT_ONCE):
        left = await pace()
    heir = Pace(left, clock=time.clock, sleep=time.sleep)
    await heir()
    assert time.slept == pytest.approx(1 / A_SECOND)


async def test_a_clock_that_is_set_back_and_forth_gives_nothing():
    time = Time()
    pace = Pace(clock=time.clock, sleep=time.sleep)
    left = AT_ONCE
    for time.now in (0.0, -100.0, 0.0, -100.0, 0.0):
        left -= 1
        assert (await pace()).left == left
