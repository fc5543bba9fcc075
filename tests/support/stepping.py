"""A process whose blocking calls and coroutines go on only when they are told to, from one boundary to the next, and can be killed.

A call that the code under test gives to a thread gets a greenlet: the same choices always give the same history, and fast.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any

from greenlet import getcurrent, greenlet


class Killed(BaseException):
    """The process is gone: nothing of it goes on (so no Exception, which the code might catch)."""


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still until it is moved."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def idle(self) -> None:
        """Run what can run."""
        self.run_until_complete(self._until_idle())

    async def _until_idle(self) -> None:
        while True:
            await asyncio.sleep(0)
            if not self._ready:  # type: ignore[attr-defined]  # asyncio's own queue of what can run
                return


class _Call:
    """A blocking call that stands still at each boundary; the first is before it begins."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.future: Future[Any] = Future()
        self._call = call
        self._course = greenlet(self._run)

    @property
    def ended(self) -> bool:
        return self._course.dead

    def go_on(self) -> None:
        self._course.switch()

    def kill(self) -> None:
        if self._course:
            self._course.throw(Killed)
        elif not self.ended:  # nor has it begun
            if not self.future.cancelled():
                self.future.set_exception(Killed())
            self._course.throw()

    def _run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self._course.parent.switch()  # a thread that has the call, and has not got far
            result = self._call()
        except BaseException as error:  # noqa: BLE001 (whatever it is, the future has it)
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Process(Executor):
    """One process: the executor of its blocking calls, the hook of its boundaries, and what it is at."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.alive = True
        self.work: asyncio.Task[Any] | None = None
        self.last: Any = None  # the boundary that was reached last
        self._stopped: list[_Call | asyncio.Future[None]] = []

    # What the code under test is given

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        call = _Call(lambda: fn(*args, **kwargs))
        self._stopped.append(call)
        return call.future

    def reached(self, step: Any) -> None:
        """A boundary: a blocking call stands still here; coroutines do so in `pause`."""
        self.last = step
        here = getcurrent()
        if here.parent:
            here.parent.switch()
        elif not self.alive:
            raise Killed

    async def pause(self) -> None:
        """In a coroutine: until it may go on."""
        gate: asyncio.Future[None] = self.loop.create_future()
        self._stopped.append(gate)
        try:
            await gate
        finally:
            if gate in self._stopped:
                self._stopped.remove(gate)

    async def others_go_on(self) -> None:
        """In a coroutine that has an await where it should have none: what stands still goes on meanwhile."""
        for stopped in list(self._stopped):
            self._release(stopped)
        for _ in range(5):
            await asyncio.sleep(0)

    # What the test says

    @property
    def busy(self) -> bool:
        """Whether anything stands still, or is not done with."""
        return bool(self._stopped) or (self.work is not None and not self.work.done())

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        self.work = self.loop.create_task(work)
        self.loop.idle()

    def go_on(self, which: int = 0) -> None:
        """Let one of the things that stand still go on to its next boundary."""
        if self._stopped:
            self._release(self._stopped[which % len(self._stopped)])
            self.loop.idle()

    def cancel(self) -> None:
        if self.work:
            self.work.cancel()
        self.loop.idle()

    def kill(self) -> None:
        self.alive = False
        for stopped in list(self._stopped):
            self._release(stopped, killed=True)
        self.loop.idle()
        if self.work and self.work.done() and not self.work.cancelled():
            self.work.exception()  # seen

    def _release(self, stopped: "_Call | asyncio.Future[None]", *, killed: bool = False) -> None:
        if isinstance(stopped, _Call):
            (stopped.kill if killed else stopped.go_on)()
            if stopped.ended:
                self._stopped.remove(stopped)
        elif not stopped.done():
            self._stopped.remove(stopped)
            if killed:
                stopped.set_exception(Killed())
            else:
                stopped.set_result(None)
