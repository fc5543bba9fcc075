"""`safelight up` and `safelight demo`: the embedded stack on one machine."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops.cli.report import demo_table, stdout
from ops.database import database
from ops.demo import SAMPLES, Demo
from ops.publish import File, PublishError, Uploader, find_photos
from ops.stack.embedded import Embedded, forget
from ops.tail import Tail
from schemas.topics import ADMITTED, EVENTS
from streams.producer import PhotoProducer
from streams.settings import Settings

_DIGEST_SAMPLE = "coffee.jpg"


def up(page_port: int, clickhouse_port: int, *, fresh: bool) -> None:
    """Until Ctrl-C."""
    console = stdout()
    with _stack(console, page_port, clickhouse_port, fresh=fresh) as stack:
        _say_where(console, stack)
        _until_interrupted()


def demo(
    photos: Path | None,
    json_file: Path | None,
    page_port: int,
    clickhouse_port: int,
    *,
    once: bool,
    fresh: bool,
    within: float,
) -> None:
    """Until every photo has its outcome or, unless `once`, Ctrl-C."""
    files = find_photos([photos or SAMPLES]).photos
    if not files:
        raise PublishError(f"no photos in {photos}: name a folder that has some")
    console = stdout()
    with _stack(console, page_port, clickhouse_port, fresh=fresh) as stack:
        figures = _run_demo(console, stack, files, within, samples=photos is None)
        if json_file:
            json_file.write_text(json.dumps(figures, indent=1) + "\n")
        if not once:
            _say_where(console, stack)
            _until_interrupted()


@contextmanager
def _stack(console: Console, page_port: int, clickhouse_port: int, *, fresh: bool) -> Iterator[Embedded]:
    """The stack, started; stopped when left, by Ctrl-C or SIGTERM too."""
    data = Settings.read().data
    if fresh:
        forget(data)
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell starts what goes to the background deaf to it
        signal.signal(number, _interrupt)
    began = time.monotonic()

    def say(line: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} s  {line}", highlight=False, markup=False)

    stack = Embedded(data, page_port=page_port, clickhouse_port=clickhouse_port, on_event=say)
    try:
        say("starting Kafka, Triton and ClickHouse, then the agents")
        stack.start()
        say("everything is up")
        yield stack
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C must not leave anything running
            signal.signal(number, signal.SIG_IGN)
        say("stopping")
        stack.stop()
        say("stopped: nothing is left running")


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _until_interrupted() -> None:
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()


def _say_where(console: Console, stack: Embedded) -> None:
    lines = (
        f"The page          {stack.page_url}",
        f"ClickHouse        {stack.clickhouse.url}  database {stack.settings.database}",
        f"Its own dashboard {stack.clickhouse.url}/dashboard?from={stack.settings.database}.dashboards",
        f"Logs              {stack.data / 'logs'}",
        "Another terminal  .venv/bin/safelight publish ~/Pictures    .venv/bin/safelight status",
        "Ctrl-C stops everything",
    )
    console.print("\n" + "\n".join(lines), highlight=False, markup=False)


def _run_demo(
    console: Console, stack: Embedded, files: list[File], within: float, *, samples: bool
) -> dict[str, object]:
    settings = stack.settings
    with database(settings) as client, PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:
        run = Demo(settings, client)
        admitted = Tail(settings, ADMITTED)
        uploader = Uploader(root=settings.object_roots[0], owner_id=run.owner_id, source="demo", producer=producer)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
            run.publish(progress.track(files, description="publishing"), uploader)
            if samples:
                sample = next(file for file in files if file.name == _DIGEST_SAMPLE)
                run.publish_wrong_digest(sample, uploader, producer.publish)
            producer.flush()
            outcomes = progress.add_task("looking", total=len(run.sent))
            run.wait(within_seconds=within, progress=lambda done, _: progress.update(outcomes, completed=done))
        console.print(demo_table(run))
        return run.figures(admitted, stack.page_url)
