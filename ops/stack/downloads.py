"""Fetch all that the embedded stack needs beside its Python packages, with progress: `python -m ops.stack.downloads`.

What is there already is not fetched again; an interrupted run leaves nothing that counts as whole.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ops.stack.cache import cache_dir
from ops.stack.kafka import make_startup_cache
from ops.stack.kafka_jars import JAR_COUNT, kafka_jars
from ops.stack.process import StackError
from ops.stack.triton_runtime import STEP_COUNT, triton_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["cache_dir", "fetch_all", "main"]


def fetch_all(console: Console) -> None:
    """Fetch what is missing; StackError says what could not be had and why."""
    with _item(console, "Triton: the inference server and its Python", STEP_COUNT) as advance:
        triton_runtime(fetched=advance)
    with _item(console, "Apache Kafka: the jars of the broker", JAR_COUNT) as advance:
        kafka_jars(fetched=advance)
    with _item(console, "Apache Kafka: the JVM's start-up cache, made here", 1) as advance:
        make_startup_cache()
        advance()


@contextmanager
def _item(console: Console, what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, else a line when it begins; the function counts one more of `total`."""
    if not console.is_terminal:
        console.print(f"{what} …")
        yield lambda: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
        progress.update(task, completed=total)  # what was there already was not counted


def main() -> int:
    """Exit code 0, 1 if something cannot be fetched, 130 on Ctrl-C."""
    if bundle := os.environ.get("SSL_CERT_FILE"):
        os.environ.setdefault("REQUESTS_CA_BUNDLE", bundle)  # jgo asks for this one only
    try:
        fetch_all(Console())
    except StackError as error:
        print(f"safelight: {error}", file=sys.stderr)  # noqa: T201 (the command's own output)
        return 1
    except KeyboardInterrupt:
        print("safelight: interrupted; the next run goes on from here", file=sys.stderr)  # noqa: T201 (as above)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
