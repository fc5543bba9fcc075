"""How often a partition may insert: ClickHouse remembers a number of inserts, and that number has to be worth a time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from agents.life import life
from streams.position import Allowance

A_SECOND = 1.0
"""Inserts a second that a partition may make in the long run; what is waited for only makes the next batch larger."""

AT_ONCE = 10_000
"""Inserts that it may make above that, after a quiet time: nobody waits as long as there is little to do."""


def inserts_within(time: timedelta) -> int:
    """Most inserts of one partition within any such time."""
    return AT_ONCE + int(time.total_seconds() * A_SECOND)


class Pace:
    """A bucket of permissions to insert: full at first, with AT_ONCE; it gains A_SECOND.

    What is left is committed with every position, so that a partition has one bucket, however often it changes hands.
    """

    def __init__(
        self,
        last: Allowance | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`last`: what the partition's position says."""
        self._clock = clock
        self._sleep = sleep
        self._last = last or Allowance(AT_ONCE, clock())

    async def __call__(self) -> Allowance:
        """Take one permission, and say what is left; wait if there was none."""
        at = max(self._clock(), self._last.at)  # a clock that was set back gives nothing twice
        gained = (at - self._last.at).total_seconds() * A_SECOND
        left = min(AT_ONCE, self._last.left + gained) - 1
        self._last = Allowance(left, at)
        if left < 0:
            with life().wait():
                await self._sleep(-left / A_SECOND)
        return self._last
