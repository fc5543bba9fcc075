"""What is up, for other processes to read: a JSON file beside a lock that lives as long as the stack."""

from __future__ import annotations

import fcntl
import json
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TextIO

from ops.stack.process import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_FILE = "stack.json"
_LOCK = "stack.lock"
# Half a second: who only looks (read_status) has the lock for a moment.
_TRIES = 10
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server; `since` is ISO 8601 in UTC, None while it does not run."""

    name: str
    pid: int | None
    address: str
    since: str | None
    restarts: int
    healthy: bool
    last_exit_code: int | None


@contextmanager
def only_stack(data: Path) -> Iterator[None]:
    """While inside, nobody else may run a stack in `data`; StackError if somebody does."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / _LOCK).open("a") as lock:
        if not any(_taken(lock) for _ in range(_TRIES)):
            raise StackError(f"a stack already runs in {data}: stop it, or name another folder")
        try:
            yield
        finally:
            (data / _FILE).unlink(missing_ok=True)


def _taken(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(_PAUSE_SECONDS)
        return False
    return True


def publish(data: Path, servers: Sequence[ServerStatus]) -> None:
    """Replace what is published at once: a reader sees the old or the new, never a half."""
    new = data / f"{_FILE}.new"
    new.write_text(json.dumps([asdict(server) for server in servers], indent=1))
    new.replace(data / _FILE)


def read_status(data: Path) -> list[ServerStatus] | None:
    """What the stack in `data` last published; None if none runs there, or not yet."""
    try:
        with (data / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        try:
            return [ServerStatus(**server) for server in json.loads((data / _FILE).read_text())]
        except FileNotFoundError:
            return None
    return None
