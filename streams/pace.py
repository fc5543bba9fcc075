"""How often a partition may insert: ClickHouse remembers a number of inserts, and that number has to be worth a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from agents.life import life

A_SECOND = 1.0
"""Inserts a second that a partition may make in the long run; what is waited for only makes the next batch larger."""

AT_ONCE = 10_000
"""Inserts that it may make above that, after a quiet time: nobody waits as long as there is little to do."""


def inserts_within(time: timedelta) -> int:
    """Most inserts of one partition within any such time."""
    return AT_ONCE + int(time.total_seconds() * A_SECOND)


class Pace:
    """A bucket of permissions to insert: it starts full, with AT_ONCE, and gains A_SECOND."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._left = float(AT_ONCE)
        self._at = clock()

    async def __call__(self) -> None:
        """Take one permission; wait for it if there is none."""
        now = self._clock()
        self._left = min(AT_ONCE, self._left + (now - self._at) * A_SECOND) - 1
        self._at = now
        if self._left < 0:
            with life().wait():
                await self._sleep(-self._left / A_SECOND)
