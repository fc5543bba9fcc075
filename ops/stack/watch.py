"""The decisions about one server of the stack: when to start it again, and when a silent one is given up."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ops.stack.process import StackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.stack.process import Server

_SHORTEST_SECONDS = 0.2
_LONGEST_SECONDS = 5.0
_FORGIVEN_SECONDS = 30.0  # who lived so long starts again at once
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a server is asked for its health, and for how long it may fail to answer."""

    every: timedelta = timedelta(seconds=3)
    silence: timedelta = timedelta(seconds=30)


class Watch:
    """One server under watch. `step` is called again and again, by one thread; the rest may be read by others."""

    def __init__(
        self,
        server: Server,
        *,
        clock: Callable[[], float],
        on_event: Callable[[str], None],
        patience: Patience = Patience(),
        stopping: threading.Event | None = None,
    ) -> None:
        """`stopping`: once set, nothing is started any more."""
        self.server = server
        self.healthy = False
        self.restarts = 0
        self.last_exit_code: int | None = None
        self.started: float | None = None
        """By the clock; None while it does not run."""
        self._clock = clock
        self._on_event = on_event
        self._patience = patience
        self._stopping = stopping or threading.Event()
        self._delay = _SHORTEST_SECONDS
        self._asked = self._answered = 0.0

    def start(self) -> None:
        """The first time; StackError goes to the caller."""
        self.server.start()
        self._serves()

    def step(self) -> float:
        """Do what is due; how many seconds to wait before the next step."""
        if self.started is None:
            return self._start_again()
        if not self.server.running():
            return self._ended()
        now = self._clock()
        if now - self.started >= _FORGIVEN_SECONDS:
            self._delay = _SHORTEST_SECONDS
        if now - self._asked >= self._patience.every.total_seconds():
            self._ask()
        return _POLL_SECONDS

    def _ask(self) -> None:
        self.healthy = self.server.healthy()
        self._asked = self._clock()
        if self.healthy:
            self._answered = self._asked
        elif self._asked - self._answered >= self._patience.silence.total_seconds() and not self._stopping.is_set():
            silence = self._asked - self._answered
            self._on_event(f"{self.server.name} has not answered for {silence:.0f} s: starting it again")
            self.server.stop()
            self._gone()

    def _ended(self) -> float:
        self.last_exit_code = self.server.returncode
        self._gone()
        if self._stopping.is_set():
            return _POLL_SECONDS
        code = "" if self.last_exit_code is None else f" with {self.last_exit_code}"
        self._on_event(f"{self.server.name} exited{code}: starting again")
        return self._pause()

    def _start_again(self) -> float:
        if self._stopping.is_set():
            return _POLL_SECONDS
        try:
            self.server.start()
        except (StackError, OSError) as error:
            if not self._stopping.is_set():
                pause = self._pause()
                self._on_event(f"{error}; trying again in {pause:.1f} s")
                return pause
            return _POLL_SECONDS
        self.restarts += 1
        self._serves()
        self._on_event(f"{self.server.name} is back")
        return _POLL_SECONDS

    def _serves(self) -> None:
        self.started = self._asked = self._answered = self._clock()
        self.healthy = True

    def _gone(self) -> None:
        self.started = None
        self.healthy = False

    def _pause(self) -> float:
        """This delay, and the next one twice as long."""
        delay, self._delay = self._delay, min(2 * self._delay, _LONGEST_SECONDS)
        return delay
