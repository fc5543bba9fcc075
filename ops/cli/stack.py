"""`safelight up`, `safelight demo`, `safelight status`: the embedded stack on one machine."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops.cli.report import demo_table, status_table, status_view
from ops.demo import SAMPLES, Demo
from ops.publish import File, PublishError, Uploader, find_photos
from ops.stack.embedded import CLICKHOUSE_PORT, PAGE_PORT, Embedded, forget
from ops.stack.process import StackError
from ops.stack.status import read_status
from ops.tail import Tail
from schemas.errors import Unavailable
from schemas.topics import ADMITTED, EVENTS
from sinks.clickhouse.client import connect
from streams import provision
from streams.producer import PhotoProducer
from streams.settings import Settings

PagePort = Annotated[int, typer.Option(help="Port of the page; another free one if it is taken.")]
ClickHousePort = Annotated[int, typer.Option(help="Port of ClickHouse; another free one if it is taken.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget what earlier runs left.")]

_DIGEST_SAMPLE = "coffee.jpg"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (demo, up, status):
        app.command()(command)


def up(
    page_port: PagePort = PAGE_PORT, clickhouse_port: ClickHousePort = CLICKHOUSE_PORT, fresh: Fresh = False
) -> None:
    """Start everything on this machine and stay up until Ctrl-C.

    Example: `safelight up`, then in another terminal `safelight publish ~/Pictures`
    """
    console = Console()
    with _stack(console, page_port, clickhouse_port, fresh=fresh) as stack:
        _say_where(console, stack)
        _until_interrupted()


def demo(
    photos: Annotated[Path | None, typer.Option(help="A folder of your own instead of the sample photos.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End when every photo has its outcome.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the run's figures to this file.")] = None,
    page_port: PagePort = PAGE_PORT,
    clickhouse_port: ClickHousePort = CLICKHOUSE_PORT,
    fresh: Fresh = False,
    within: Annotated[float, typer.Option(help="Give up when photos have no outcome after so many seconds.")] = 900,
) -> None:
    """Start everything, publish photos, and show what became of each; stay up until Ctrl-C.

    The figures of --json are of this run: published events, those that admit took, those enriched and those in the dead
    letters, rows in ClickHouse; elapsed_seconds from the first upload until the last outcome can be queried; e2e from each
    photo's uploaded_at until a query shows its outcome.

    Example: `safelight demo --photos ~/Pictures --once --json figures.json`
    """
    files = find_photos([photos or SAMPLES]).photos
    if not files:
        raise PublishError(f"no photos in {photos}: name a folder that has some")
    console = Console()
    with _stack(console, page_port, clickhouse_port, fresh=fresh) as stack:
        figures = _run_demo(console, stack, files, within, samples=photos is None)
        if json_file:
            json_file.write_text(json.dumps(figures, indent=1) + "\n")
        _say_where(console, stack)
        if not once:
            _until_interrupted()


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show what is up, since when, and how far behind each agent is.

    Example: `safelight status`
    """
    settings = Settings.read()
    servers = read_status(settings.data)
    try:
        lags = provision.lag(settings)
    except Unavailable as error:
        if servers is None:
            raise StackError(f"no stack runs in {settings.data}, and {error}: start one with `safelight up`") from error
        lags = []  # the table says that the broker is down
    console = Console()
    if as_json:
        console.print_json(json.dumps(status_view(servers, lags)))
        return
    if servers is None:
        console.print(f"no stack runs in {settings.data}; the broker at {settings.brokers} answers", highlight=False)
    console.print(status_table(servers or (), lags, datetime.now(UTC)))


@contextmanager
def _stack(console: Console, page_port: int, clickhouse_port: int, *, fresh: bool) -> Iterator[Embedded]:
    """The stack, started; stopped when left, by Ctrl-C or SIGTERM too."""
    data = Settings.read().data
    if fresh:
        forget(data)
    signal.signal(signal.SIGTERM, _interrupt)
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
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave anything running
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
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
        f"Logs              {stack.data / 'logs'}",
        "Another terminal  .venv/bin/safelight publish ~/Pictures    .venv/bin/safelight status",
        "Ctrl-C stops everything",
    )
    console.print("\n" + "\n".join(lines), highlight=False, markup=False)


def _run_demo(
    console: Console, stack: Embedded, files: list[File], within: float, *, samples: bool
) -> dict[str, object]:
    settings = stack.settings
    user, password = settings.clickhouse_user, settings.clickhouse_password.get_secret_value()
    client = connect(url=settings.clickhouse_url, user=user, password=password, database=settings.database)
    with closing(client), PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:
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
