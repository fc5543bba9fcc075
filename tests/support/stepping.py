"""A process whose threads and coroutines go on only when they are told to, from one boundary to the next, and that can be killed.

Only one of all threads runs at any moment, so the same choices always give the same history.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any


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
    """A blocking call, in a thread that stands still at each boundary; the first is before it begins."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.future: Future[Any] = Future()
        self.ended = False
        self._call = call
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._killed = False

    def go_on(self, *, killed: bool = False) -> None:
        self._killed = killed
        if self._thread is None:
            if not self.future.set_running_or_notify_cancel():
                self.ended = True
                return
            if killed:
                self.ended = True
                self.future.set_exception(Killed())
                return
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        else:
            self._go.release()
        self._stands.acquire()
        if self.ended:
            self._thread.join()

    def stand(self) -> None:
        """In the thread: until it may go on."""
        self._stands.release()
        self._go.acquire()
        if self._killed:
            raise Killed

    def _run(self) -> None:
        _here.call = self
        try:
            result = self._call()
        except BaseException as error:  # noqa: BLE001 (whatever it is, the future has it)
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
        self.ended = True
        self._stands.release()


_here = threading.local()


class Process(Executor):
    """One process: the executor of its blocking calls, the hook of its boundaries, and what it is at."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
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
        """A boundary: in a thread, it stands still here; coroutines do so in `pause`."""
        self.last = step
        if call := getattr(_here, "call", None):
            call.stand()
        elif not self.alive:
            raise Killed

    async def pause(self) -> None:
        """In a coroutine: until it may go on."""
        gate: asyncio.Future[None] = self._loop.create_future()
        self._stopped.append(gate)
        try:
            await gate
        finally:
            if gate in self._stopped:
                self._stopped.remove(gate)

    # What the test says

    @property
    def busy(self) -> bool:
        """Whether anything stands still, or is not done with."""
        return bool(self._stopped) or (self.work is not None and not self.work.done())

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        self.work = self._loop.create_task(work)
        self._loop.idle()

    def go_on(self, which: int = 0) -> None:
        """Let one of the things that stand still go on to its next boundary."""
        if self._stopped:
            self._release(self._stopped[which % len(self._stopped)])
        self._loop.idle()

    def cancel(self) -> None:
        if self.work:
            self.work.cancel()
        self._loop.idle()

    def kill(self) -> None:
        self.alive = False
        for stopped in list(self._stopped):
            self._release(stopped, killed=True)
        self._loop.idle()
        if self.work and self.work.done() and not self.work.cancelled():
            self.work.exception()  # seen

    def _release(self, stopped: "_Call | asyncio.Future[None]", *, killed: bool = False) -> None:
        if isinstance(stopped, _Call):
            stopped.go_on(killed=killed)
            if stopped.ended:
                self._stopped.remove(stopped)
        elif not stopped.done():
            self._stopped.remove(stopped)
            if killed:
                stopped.set_exception(Killed())
            else:
                stopped.set_result(None)
