"""A program of the stack that is started by a command line: the worker of an agent, or the page."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ops.stack.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_STOP = timedelta(seconds=15)  # a worker finishes the batch that it has


class Command:
    """A Server whose health, if it can be asked for, is `ready`; else it is healthy while it lives."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
        address: str = "",
        start_within: timedelta = timedelta(seconds=60),
    ) -> None:
        """`env` is added to our own environment; `ready` answers within a few seconds."""
        self.name = name
        self.address = address
        self._ready = ready
        self._start_within = start_within
        self._process = Process(name, argv, log=log, env=env)

    @property
    def pid(self) -> int | None:
        """Of the last start."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Of the last start; None while it runs."""
        return self._process.returncode

    def running(self) -> bool:
        """Whether it lives."""
        return self._process.running

    def healthy(self) -> bool:
        """Whether it lives and, if it can be asked, says so."""
        return self.running() and (self._ready is None or self._ready())

    def start(self) -> None:
        """Return once it is healthy; StackError if it ends before that or takes too long."""
        self._process.start()
        self._process.wait_ready(self.healthy, within=self._start_within)

    def stop(self) -> None:
        """SIGTERM; what is left after 15 s is killed."""
        self._process.stop(grace=_STOP)
