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

_LOGGING = """\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
"""


def kafka_jars(*, fetched: Callable[[], None] = lambda: None) -> Path:
    """The folder with the jars and log4j2.properties, fetched if it is not there; `fetched` is called after each jar."""

    def fill(folder: Path) -> None:
        fetch(_JARS, folder, fetched=fetched)
        (folder / "log4j2.properties").write_text(_LOGGING)

    return kept(locked_name("kafka", _LOCK), fill)
