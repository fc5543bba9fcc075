"""How many requests a model has at once: as many as keep it busy, by what Triton measures of its queue, and no more.

More than that makes no answer come sooner, and each wait longer. Less leaves the model idle, or its batches half full. What is right
depends on the model, its batches, its instances, the machine and on who else asks: so none of that is known here. Triton counts how
long requests have waited and how long they were computed (its statistics extension); from one look to the next, the limit is
scaled so that a request would wait QUEUED times as long as it is computed. (In flight = rate x time in the system, Little 1961: at
the rate that the model can do, time is in proportion to what is in flight.)
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from types import TracebackType

QUEUED = 1.25
"""A batch that is complete when the one before is done has waited about as long as it is computed; a little more, to be sure of it."""

_FIRST = 4.0
_LEAST = 1.0
_MOST = 512.0  # of one worker: a guard against a server that measures nonsense
_FASTEST = 2.0  # factor of one step, up or down


@dataclass(frozen=True, slots=True)
class Measured:
    """What Triton has counted of a model since it started: requests, and how long they waited and were computed."""

    requests: int
    queue_ns: int
    compute_ns: int


class Turns:
    """Turns at a model, first come, first served; `async with turns:` is one."""

    def __init__(self) -> None:
        self._limit = _FIRST
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._last: Measured | None = None
        self._was_full = False  # since the last look somebody had to wait

    @property
    def limit(self) -> int:
        """How many there are at once."""
        return max(1, round(self._limit))

    def look(self, now: Measured) -> None:
        """Follow what Triton has measured since the last look."""
        last, self._last = self._last, now
        was_full, self._was_full = self._was_full, bool(self._waiting)
        if last is None or now.requests <= last.requests:  # the first look, a new server, or nobody asked
            return
        compute = now.compute_ns - last.compute_ns
        queue = now.queue_ns - last.queue_ns
        if compute <= 0 or queue < 0:
            return
        factor = (1 + QUEUED) / (1 + queue / compute)
        if factor > 1 and not was_full:
            return  # it is not the limit that keeps the queue short
        self._limit = min(max(self._limit * min(max(factor, 1 / _FASTEST), _FASTEST), _LEAST), _MOST)
        self._hand_out()

    async def __aenter__(self) -> None:
        """Wait for a turn."""
        if self._taken < self.limit and not self._waiting:
            self._taken += 1
            return
        self._was_full = True
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._give_back()  # it came at the same moment
            elif mine in self._waiting:
                self._waiting.remove(mine)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self._give_back()

    def _give_back(self) -> None:
        self._taken -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._taken < self.limit:
            next_one = self._waiting.popleft()
            if not next_one.done():
                self._taken += 1
                next_one.set_result(None)
