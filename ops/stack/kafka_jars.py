"""Apache Kafka's jars, by the coordinates and checksums of kafka.lock."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ops.stack.cache import kept
from ops.stack.maven import fetch, read_lock

if TYPE_CHECKING:
    from collections.abc import Callable

_LOCK = Path(__file__).with_name("kafka.lock").read_text()
_NAME = f"kafka-{hashlib.sha256(_LOCK.encode()).hexdigest()[:12]}"
JAR_COUNT = len(read_lock(_LOCK))

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
        fetch(read_lock(_LOCK), folder, fetched=fetched)
        (folder / "log4j2.properties").write_text(_LOGGING)

    return kept(_NAME, fill)
