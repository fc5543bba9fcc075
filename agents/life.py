"""Signs of life: how work that takes long is told from work that hangs.

Work that goes on gives signs: an answer came, a step is done. Work that waits for what will come back (a dependency that is
down, permission to insert, room in memory) declares it, and is alive however long that takes. Who stands in a queue
is as alive as what the queue stands for. streams/watchdog.py ends what is none of these.

Whose signs they are is in the context: the tasks that work starts inherit it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class Life:
    """Of the work on one partition, or of what others queue for. Cheap; may be read in any thread."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._signed = clock()
        self._waits = 0
        self._ahead: list[Life] = []
        self.tasks: set[asyncio.Task[Any]] = set()  # that are under way

    def follow(self, task: "asyncio.Task[Any]") -> None:
        """A task is part of the work."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def sign(self) -> None:
        """Something was done."""
        self._signed = self._clock()

    @contextmanager
    def wait(self) -> Iterator[None]:
        """The body waits for something that will come back."""
        self._waits += 1
        try:
            yield
        finally:
            self._waits -= 1
            self.sign()

    @contextmanager
    def behind(self, ahead: "Life") -> Iterator[None]:
        """The body queues for something that has a life of its own."""
        self._ahead.append(ahead)
        try:
            yield
        finally:
            self._ahead.remove(ahead)
            self.sign()

    def quiet_seconds(self) -> float:
        """Since when there is neither a sign nor a wait."""
        if self._waits:
            return 0.0
        quiet = self._clock() - self._signed
        return min([quiet, *(ahead.quiet_seconds() for ahead in list(self._ahead))])

    @contextmanager
    def of_this_context(self) -> Iterator[None]:
        """The body, and every task that it starts, gives its signs to this life."""
        token = _LIFE.set(self)
        try:
            yield
        finally:
            _LIFE.reset(token)


_LIFE: ContextVar[Life] = ContextVar("life")


def life() -> Life:
    """The life of the work in this context; outside of any, one that nobody watches."""
    return _LIFE.get(None) or Life()
