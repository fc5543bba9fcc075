"""Ends a worker one of whose partitions hangs: whoever supervises it starts it again, and what was not committed is read again.

A partition hangs when it has work under way (a claim, what was pending, a batch), that gives no sign of life for a set time and
waits for nothing that will come back (agents/life.py). It is looked for from a thread, since what hangs may hold up the
event loop. A partition that is free hangs too, when its log has records and none is fetched for so long.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from faust.types import TP

from agents.life import Life
from schemas.errors import Stuck
from streams import blame

_LOOKS = 5
"""In the set time: it is noticed at most a fifth later."""

_PLACES = 3
"""Of a stack that are told, innermost last."""

_NO_PLACES = ("agents/life.py", "streams/threads.py", "streams/consumer.py")
"""Through which everything passes: their lines say nothing."""


@dataclass(slots=True)
class _Work:
    life: Life
    task: asyncio.Task[Any] | None = None


class Watchdog:
    """What is under way on each partition."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._works: dict[TP, _Work] = {}
        self._loop_s_thread = threading.get_ident()

    def expect(self, tp: TP) -> None:
        """The partition is given work, which is to begin now."""
        self._works[tp] = _Work(Life(clock=self._clock))

    @contextmanager
    def work(self, tp: TP) -> Iterator[None]:
        """The body, which the current task runs, is the partition's work."""
        work = self._works[tp] = _Work(Life(clock=self._clock), asyncio.current_task())
        try:
            with work.life.of_this_context():
                yield
        finally:
            if self._works.get(tp) is work:
                del self._works[tp]

    def forget(self) -> None:
        """All work was given up."""
        self._works.clear()

    def sign(self, tp: TP) -> None:
        """The partition's work has done something, in whatever thread."""
        if work := self._works.get(tp):
            work.life.sign()

    def stuck(self, limit_seconds: float) -> Stuck | None:
        """The first partition whose work hangs, and where. In any thread."""
        for tp, work in list(self._works.items()):
            if work.life.quiet_seconds() >= limit_seconds:
                where = self._where(work) if work.task else "its batch was delivered, and nobody took it up"
                return Stuck(f"{_name(tp)} makes no progress for {limit_seconds:.0f} s: {where}")
        return None

    def _where(self, work: _Work) -> str:
        assert work.task  # noqa: S101 (for mypy: asked before)
        inner = [task for task in list(work.life.tasks) if not task.done()]
        outer = self._places(work.task.get_coro())
        stacks = [outer + self._places(task.get_coro()) for task in inner] or [outer]
        most = max(stacks, key=stacks.count)
        many = f"{len(inner)} tasks, at " if len(inner) > 1 else "at "
        return many + (" > ".join(most[-_PLACES:]) or "no place of ours")

    def _places(self, coroutine: Any) -> list[str]:
        """Where a coroutine is, outermost first: by the places of our own code, without any value."""
        places: list[str] = []
        while coroutine is not None:
            frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
            if frame is None:
                break
            if getattr(coroutine, "cr_running", False) and coroutine.cr_await is None:
                return places + _running(self._loop_s_thread, below=frame)
            places += _place(frame)
            coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
        return places


def _running(thread: int, *, below: FrameType) -> list[str]:
    """What a thread is at, from a frame on inwards."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 (documented, for debuggers)
    places: list[str] = []
    while frame is not None:
        places += _place(frame)
        if frame is below:
            break
        frame = frame.f_back
    return places[::-1]


def _place(frame: FrameType) -> list[str]:
    code = frame.f_code
    path = blame.place(code.co_filename)
    told = blame.ours(code.co_filename) and path not in _NO_PLACES
    return [f"{path}:{frame.f_lineno} in {code.co_name}"] if told else []


def watch(watchdog: Watchdog, limit_seconds: float, ended: threading.Event, bark: Callable[[Stuck], None]) -> None:
    """Look until `ended` is set, or the first partition hangs. For a thread of its own."""
    while not ended.wait(limit_seconds / _LOOKS):
        if stuck := watchdog.stuck(limit_seconds):
            bark(stuck)
            return


class Unread:
    """Free partitions whose records are not fetched."""

    def __init__(self, limit_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit_seconds
        self._clock = clock
        self._behind: dict[TP, tuple[int, float]] = {}

    @property
    def pause_seconds(self) -> float:
        """Between two looks."""
        return self._limit / _LOOKS

    def look(self, free: Mapping[TP, int], ends: Mapping[TP, int]) -> Stuck | None:
        """`free`: the offset that each free partition comes to next; `ends`: of the logs, up to which all is committed."""
        now = self._clock()
        behind = {}
        for tp, offset in free.items():
            if ends.get(tp, 0) <= offset:
                continue
            last, since = self._behind.get(tp, (-1, now))
            behind[tp] = offset, since if last == offset else now
            if now - behind[tp][1] >= self._limit:
                return Stuck(
                    f"{_name(tp)} has records from {offset} to {ends[tp]}, and none was fetched for {self._limit:.0f} s"
                )
        self._behind = behind
        return None


def _name(tp: TP) -> str:
    return f"{tp.topic}-{tp.partition}"
