"""Keep the servers of the stack running, from the first start to the last stop."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ops.stack.process import StackError
from ops.stack.status import ServerStatus, only_stack, publish
from ops.stack.watch import Patience, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import Self

    from ops.stack.process import Server

_STOP = timedelta(seconds=60)  # of all together


class Supervisor:
    """The only one of its kind in the folder `data`, where it publishes what is up (status.py).

    A server that exits is started again, at first after 0.2 s, then after longer and longer pauses up to 5 s, and as
    soon as at first once it has lived for 30 s. One that runs but does not answer for a while is stopped and started.
    """

    def __init__(
        self,
        data: Path,
        *,
        on_event: Callable[[str], None] = lambda _: None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_event` gets a line for people whenever a server goes or comes back, from any thread.

        It starts and stops once: make another for another time.
        """
        self._data = data
        self._on_event = on_event
        self._patience = patience
        self._clock = clock
        self._watches: list[list[Watch]] = []
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._publishing = threading.Lock()
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, groups: Iterable[Sequence[Server]]) -> None:
        """One group after the other, the servers of a group at once. If one does not start, none is left: StackError.

        A group is asked for when the ones before it serve: what lies between may be done there.
        """
        self._held.enter_context(only_stack(self._data))
        try:
            for group in groups:
                watches = [
                    Watch(
                        server,
                        clock=self._clock,
                        on_event=self._on_event,
                        patience=self._patience,
                        stopping=self._stopping,
                    )
                    for server in group
                ]
                self._watches.append(watches)
                self._start(watches)
        except BaseException:  # Ctrl-C too: nothing may be left running
            self.stop()
            raise

    def stop(self, *, within: timedelta = _STOP) -> None:
        """The last group first. StackError, naming them, if servers are still running after `within`."""
        self._stopping.set()
        end = time.monotonic() + within.total_seconds()
        left = [name for watches in reversed(self._watches) for name in _stop([watch.server for watch in watches], end)]
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        # What was being started while it was stopped.
        left += [name for watches in self._watches for name in _stop([watch.server for watch in watches], end)]
        self._watches, self._threads = [], []
        self._held.close()
        if left:
            raise StackError(f"did not stop within {within.total_seconds():.0f} s: {', '.join(sorted(set(left)))}")

    def _start(self, watches: list[Watch]) -> None:
        threads = ThreadPoolExecutor(len(watches) or 1)
        try:
            done, _ = wait([threads.submit(watch.start) for watch in watches], return_when=FIRST_EXCEPTION)
            for start in done:
                start.result()
        finally:
            threads.shutdown(wait=False)  # one has failed: the others end when they are stopped
        self._publish()
        for watch in watches:
            thread = threading.Thread(target=self._keep, args=(watch,), name=f"watch-{watch.server.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _keep(self, watch: Watch) -> None:
        while not self._stopping.is_set():
            before = _seen(watch)
            pause = watch.step()
            if _seen(watch) != before:
                self._publish()
            self._stopping.wait(pause)

    def _publish(self) -> None:
        with self._publishing:
            if not self._stopping.is_set():
                publish(self._data, [self._status(watch) for watches in self._watches for watch in watches])

    def _status(self, watch: Watch) -> ServerStatus:
        lived = None if watch.started is None else timedelta(seconds=self._clock() - watch.started)
        return ServerStatus(
            name=watch.server.name,
            pid=None if lived is None else watch.server.pid,
            address=watch.server.address,
            since=None if lived is None else (datetime.now(UTC) - lived).isoformat(timespec="seconds"),
            restarts=watch.restarts,
            healthy=watch.healthy,
            last_exit_code=watch.last_exit_code,
        )


def _seen(watch: Watch) -> tuple[object, ...]:
    return watch.healthy, watch.restarts, watch.started, watch.server.pid


def _stop(servers: Sequence[Server], end: float) -> list[str]:
    """Stop all at once; the names of those that still run at `end`."""
    threads = [threading.Thread(target=server.stop, name=f"stop-{server.name}", daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [server.name for server, thread in zip(servers, threads, strict=True) if thread.is_alive()]
