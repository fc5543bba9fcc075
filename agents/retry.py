"""Waiting out a dependency that is down: where it is called, for as long as it takes."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import TypeVar

from agents.life import Life, life
from schemas.errors import Rejected, Unavailable

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

_OPENS_AFTER = 5
"""Failures in a row, of whatever calls, that open the breaker: one object that its server chokes on does not stop the rest."""

_LONGEST_PATIENCE = timedelta(minutes=1)
"""Of what a server may ask for with Retry-After: a wrong header must not stop a partition for hours."""


def _nothing(_seconds: float) -> None:
    """What `on_wait` does by default."""


def _never() -> bool:
    """What `unless` says by default."""
    return False


class Retry:
    """Repeats calls to one dependency until it answers: capped exponential backoff with full jitter, and a breaker.

    The breaker is shared by all calls. It opens when the dependency failed several times in a row; then one call at a
    time goes through, each as a probe, in the order in which they came, and the first answer closes it. A log line says
    when it opens and when it closes. Its waits are declared (agents/life.py).

    (Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.)
    """

    def __init__(
        self,
        dependency: str,
        *,
        on_wait: Callable[[float], None] = _nothing,
        first: timedelta = timedelta(seconds=0.1),
        cap: timedelta = timedelta(seconds=10),
        rng: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_wait` is told the seconds of every wait, when it is over; `rng` gives numbers from 0 to 1."""
        self._dependency = dependency
        self._on_wait = on_wait
        self._first = first.total_seconds()
        self._cap = cap.total_seconds()
        self._rng = rng
        self._sleep = sleep
        self._clock = clock
        self._failures = 0  # in a row
        self._down_since: float | None = None  # None while the breaker is closed
        self._up_since = clock()
        self._probing = asyncio.Lock()  # first come, first served
        self._probes = 0  # since the breaker opened
        self._next_probe = 0.0
        self._life = Life()  # of the queue of probes

    @property
    def open(self) -> bool:
        """Whether the breaker is open: the dependency counts as down."""
        return self._down_since is not None

    @property
    def down_seconds(self) -> float:
        """How long the breaker has been open; 0 while it is closed."""
        return 0.0 if self._down_since is None else self._clock() - self._down_since

    @property
    def up_seconds(self) -> float:
        """How long the breaker has been closed; 0 while it is open."""
        return 0.0 if self.open else self._clock() - self._up_since

    async def __call__(
        self, call: Callable[[], Awaitable[T]], *, unless: Callable[[], bool] = _never, insist: bool = False
    ) -> T:
        """The call's result, once there is one. Whatever it raises other than Unavailable passes through.

        While the breaker is open and `unless` says so, the call fails with Unavailable, at once unless a probe is due; who insists
        waits for the outcome of a probe.
        """
        tries = 0
        while True:
            try:
                if self.open:
                    return await self._as_probe(call, unless, insist=insist)
                return await self._answer(call)
            except Unavailable as why:
                self._failed(why)
                if self.open and unless():
                    raise
                if not self.open:
                    await self._wait(self._delay(tries, why))
                tries += 1

    async def _as_probe(self, call: Callable[[], Awaitable[T]], unless: Callable[[], bool], *, insist: bool) -> T:
        away = Unavailable(self._dependency, "it is away, and others are not")
        if unless() and not insist and (self._probing.locked() or self._clock() < self._next_probe):
            raise away
        probes = self._probes
        with life().behind(self._life):
            await self._probing.acquire()
        try:
            if self.open:
                if unless() and self._probes > probes:
                    raise away  # another's probe has failed meanwhile
                if insist or not unless():
                    await self._wait(self._next_probe - self._clock())
                try:
                    return await self._answer(call)
                except Unavailable as why:
                    self._probes += 1
                    self._next_probe = self._clock() + self._delay(self._probes, why)
                    raise
        finally:
            self._probing.release()
        return await self._answer(call)  # another's probe was answered meanwhile

    async def _answer(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            result = await call()
        except Rejected:
            self._answered()
            raise
        self._answered()
        return result

    def _delay(self, tries: int, why: Unavailable) -> float:
        # The exponent is bounded because the power would overflow one day; 2 ** 30 is beyond any cap.
        delay = self._rng() * min(self._cap, self._first * 2.0 ** min(tries, 30))
        patience = min(why.retry_after, _LONGEST_PATIENCE).total_seconds() if why.retry_after else 0.0
        return max(delay, patience)

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        began = self._clock()
        with life().wait(), self._life.wait():
            await self._sleep(seconds)
        self._on_wait(self._clock() - began)

    def _failed(self, why: Unavailable) -> None:
        self._signs()
        self._failures += 1
        if self._failures >= _OPENS_AFTER and not self.open:
            self._down_since = self._clock()
            self._probes = 0
            self._next_probe = self._clock() + self._delay(0, why)
            _LOG.warning("%s is unavailable (%s): waiting, and trying again", self._dependency, why.detail)

    def _answered(self) -> None:
        self._signs()
        self._failures = 0
        if self._down_since is not None:
            _LOG.info("%s answers again after %.1f s", self._dependency, self._clock() - self._down_since)
            self._down_since, self._up_since = None, self._clock()

    def _signs(self) -> None:
        life().sign()
        self._life.sign()


_SURELY_SECONDS = 15.0
"""After which what answers, and what does not, is no matter of who came back first when all were away."""


def others_answer(one: Retry, all_of_them: Collection[Retry]) -> Callable[[], bool]:
    """Whether one of several dependencies is away for good, and not all of them: then who needs it should not wait."""

    def away() -> bool:
        return one.down_seconds > _SURELY_SECONDS and any(each.up_seconds > _SURELY_SECONDS for each in all_of_them)

    return away
