"""Programs that the stack starts: none outlives the Python that started it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path

_LONGEST_LOG_BYTES = 16 * 2**20
_POLL_SECONDS = 0.02
_TELLING = re.compile("error|exception|fatal", re.IGNORECASE)

# Runs the command once it is told to: whoever dies before its guard is there takes the command along.
_LAUNCH = 'read -r go && exec "$@" </dev/null'

# Waits for the end of its standard input, which comes when this Python dies, however it dies; then ends the whole group.
_GUARD = """trap '' HUP INT TERM
read -r _
kill -s TERM -- "-$1"
tries=0
while kill -s 0 -- "-$1" && [ $tries -lt 50 ]; do sleep 0.2; tries=$((tries + 1)); done
kill -s KILL -- "-$1"
"""


class StackError(Exception):
    """A part of the stack did not start or stop; the message is one line that says what to do."""


class Server(Protocol):
    """A part of the embedded stack that others connect to."""

    name: str

    def start(self) -> None:
        """Return once it serves; StackError if it does not come to that."""

    def stop(self) -> None:
        """End it and all that belongs to it. Stopping twice is harmless."""

    @property
    def pid(self) -> int | None:
        """Of the process, None before the first start."""

    @property
    def returncode(self) -> int | None:
        """Of the last start, negative for a signal; None while it runs and before the first start."""

    def running(self) -> bool:
        """Whether the process lives."""

    def healthy(self) -> bool:
        """Whether it answers real requests; says so within a few seconds, whatever state it is in."""

    @property
    def address(self) -> str:
        """Where to find it, for people: host:port or a URL."""


class Process:
    """A child process that never outlives us, with its output in a log file.

    It has a session of its own, so that a terminal's Ctrl-C does not stop it before those who use it. A guard process
    ends it, and all that it started, when this Python dies without having stopped it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """`env` is added to our own environment."""
        self.name = name
        self.log = log
        self._command = [str(word) for word in command]
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._log_begin = 0  # of the last start
        self._child: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the last start; None before the first."""
        return self._child.pid if self._child else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and not self._ended(self._child)

    @property
    def returncode(self) -> int | None:
        """Of the last start, negative for a signal; None while it runs and before the first start."""
        return None if self._child is None or not self._ended(self._child) else self._child.returncode

    def start(self) -> None:
        """Start it, for the first time or again. StackError if it runs; that there is no such program shows in wait_ready."""
        if self.running:
            raise StackError(f"{self.name} runs already (process {self.pid}): stop it first")
        self._release_guard()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LONGEST_LOG_BYTES:
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        with self.log.open("ab") as output:
            self._log_begin = output.tell()
            self._child = subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCH, "sh", *self._command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", str(self._child.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._child.stdin  # noqa: S101 (for mypy: it was asked for)
        self._child.stdin.write(b"go\n")
        self._child.stdin.close()

    def wait_ready(self, ready: Callable[[], bool], *, within: timedelta) -> None:
        """Return once `ready()`; StackError if the process ends first or the time is over: nothing of it is left then.

        The error has the last line of the log that speaks of an error, or else the last.
        """
        end = time.monotonic() + within.total_seconds()
        while not ready():
            if not self.running:
                raise self._failed(f"ended with exit code {self.returncode} before it served")
            if time.monotonic() > end:
                self._end()
                raise self._failed(f"does not serve after {within.total_seconds():.0f} s")
            time.sleep(_POLL_SECONDS)

    def said(self, what: str) -> bool:
        """Whether its log has this, since the last start."""
        return any(what in line for line in self._lines())

    def stop(self, *, grace: timedelta) -> None:
        """Ask it to end, and end it if it has not done so within `grace`. Stopping twice is harmless."""
        if self._child is not None and self.running:
            self._child.terminate()
            end = time.monotonic() + grace.total_seconds()
            while self.running and time.monotonic() < end:
                time.sleep(_POLL_SECONDS)
        self._end()

    def _end(self) -> None:
        if self._child is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        self._release_guard()

    def _ended(self, child: subprocess.Popen[bytes]) -> bool:
        """Whether it has ended; what it left behind in its group is ended then, before its id can be another's."""
        if child.returncode is not None:
            return True
        with contextlib.suppress(ChildProcessError):
            if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return False
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        self._release_guard()
        return True

    def _release_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.communicate()

    def _lines(self) -> list[str]:
        """What it told since the last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_begin)
            return log.read().decode(errors="replace").splitlines()

    def _failed(self, what: str) -> StackError:
        lines = [line.strip() for line in self._lines() if any(map(str.isalnum, line))]
        telling = [line for line in lines if _TELLING.search(line)] or lines or ["it wrote nothing"]
        return StackError(f"{self.name} {what}: {telling[-1][:300]} (see {self.log})")
