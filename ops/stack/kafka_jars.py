"""Apache Kafka's jars, by the coordinates and checksums of kafka.lock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ops.stack.cache import kept, locked_name
from ops.stack.maven import fetch, read_lock

if TYPE_CHECKING:
    from collections.abc import Callable

_LOCK = Path(__file__).with_name("kafka.lock")
_JARS = read_lock(_LOCK.read_text())
JAR_COUNT = len(_JARS)


def kafka_jars(*, fetched: Callable[[], None] = lambda: None) -> Path:
    """The folder with the jars, fetched if it is not there; `fetched` is called after each jar."""

    def fill(folder: Path) -> None:
        fetch(_JARS, folder, fetched=fetched)

    return kept(locked_name("kafka", _LOCK), fill)
