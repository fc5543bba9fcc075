"""What was fetched once is kept: each folder whole, or not there at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def cache_dir() -> Path:
    """SAFELIGHT_CACHE, else `safelight` in the user's cache folder."""
    if own := os.environ.get("SAFELIGHT_CACHE"):
        return Path(own).expanduser().absolute()
    # A relative XDG path is invalid and to be ignored (XDG Base Directory Specification 0.8).
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "safelight"


def locked_name(name: str, *locks: Path) -> str:
    """The entry for what these lock files pin: another name for other contents."""
    return f"{name}-{hashlib.sha256(b''.join(lock.read_bytes() for lock in locks)).hexdigest()[:12]}"


def kept(name: str, fill: Callable[[Path], None]) -> Path:
    """The cache's entry `name`, which `fill` makes at the path that it is given, if it is not there yet.

    It appears in one step, after all its bytes are on the disk: an interrupted fill leaves nothing that counts. Of two
    processes at once one fills and the other waits.
    """
    entry = cache_dir() / name
    if entry.exists():
        return entry
    entry.parent.mkdir(parents=True, exist_ok=True)
    with entry.with_name(f".{entry.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not entry.exists():
            part = entry.with_name(f".{entry.name}.part")
            _remove(part)
            try:
                fill(part)
                os.sync()
                part.rename(entry)
            finally:
                _remove(part)
    return entry


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
