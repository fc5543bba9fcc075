"""`safelight deadletters`: what was rejected, why, and trying it again."""

import json
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from ops.audit import audited
from ops.cli import letters_view as view
from ops.cli.report import progress, stdout
from ops.cli.when import when
from ops.database import database
from ops.redrive import Tally
from ops.redrive import redrive as send
from ops.uploads import Uploads
from schemas.errors import Reason, StrangeWorld
from schemas.events import PhotoUploaded
from schemas.topics import EVENTS
from sinks.clickhouse import letters
from sinks.clickhouse.letters import Which
from streams.producer import NotPublished, PhotoProducer
from streams.settings import Settings

_MOST_SHOWN = 100
_ROOT = re.compile(r"\d+-\d+-\d+")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which letters, as they were typed."""

    reasons: Sequence[Reason]
    since: str
    until: str
    owner: str | None
    photo: str | None
    which: str | None = None

    def read(self, now: datetime) -> Which:
        """Raises BadParameter."""
        return Which(
            reasons=self.reasons,
            since=when(self.since, now, "--since") if self.since else None,
            until=when(self.until, now, "--until") if self.until else None,
            owner=self.owner,
            photo=self.photo,
            name=self.which,
        )

    def for_audit(self, now: datetime) -> dict[str, str]:
        """What the audit keeps: neither an owner nor a photo."""
        which = self.read(now)
        said = {
            "reason": ", ".join(self.reasons),
            "since": which.since.isoformat() if which.since else "",
            "until": which.until.isoformat() if which.until else "",
            "owner": "one" if self.owner is not None else "",
            "photo": "one" if self.photo is not None else "",
            "which": (self.which if _ROOT.fullmatch(self.which) else "one") if self.which is not None else "",
        }
        return {name: value for name, value in said.items() if value}


def show_list(filters: Filters, rows: int, *, as_json: bool) -> None:
    """Counts, or so many `rows`."""
    settings, console = Settings.read(), stdout()
    which = filters.read(datetime.now(UTC))
    with database(settings) as client:
        if rows:
            found = letters.newest(client, which, rows)
            shown, table = [view.of_letter(each, settings) for each in found], view.rows(found)
        else:
            counted = letters.counts(client, which)
            shown, table = [view.of_count(each) for each in counted], view.counts(counted)
    if as_json:
        console.print_json(json.dumps(shown))
    elif shown:
        console.print(table)
    else:
        console.print("no dead letters", highlight=False)


def show(name: str, owner: str | None, *, as_json: bool) -> None:
    """The newest first; StrangeWorld when there are none."""
    settings, console = Settings.read(), stdout()
    with database(settings) as client:
        found = letters.newest(client, Which(name=name, owner=owner), _MOST_SHOWN)
    if not found:
        raise StrangeWorld(
            f"no dead letter has the root or photo_id {name}: `safelight deadletters list --rows` shows some"
        )
    if as_json:
        console.print_json(json.dumps([view.of_letter(each, settings) for each in found]))
        return
    for each in found:
        console.print(view.whole(each, settings))
        console.print()


def redrive(filters: Filters, *, limit: int, rate: float, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Ask, send, and print what came of it."""
    settings, now = Settings.read(), datetime.now(UTC)
    which = filters.read(now)
    tally, began = Tally(), time.monotonic()
    with database(settings) as client, Uploads(settings) as uploads:
        left = sum(each.open for each in letters.counts(client, which))
        if left and not (dry_run or yes):
            _confirm(left, limit, as_json=as_json)

        def run(publish: Callable[[PhotoUploaded], None], rate: float) -> None:
            send(
                letters.one_a_photo(client, which),
                uploads=uploads,
                publish=publish,
                tally=tally,
                generation=settings.generation,
                partitions=settings.partitions,
                limit=limit,
                rate=rate,
            )

        if dry_run:
            run(lambda _: None, 0)
        else:
            said = filters.for_audit(now) | {"limit": f"{limit}", "rate": f"{rate:g}"}
            with (
                _ended_by_sigterm(),
                audited(client, "deadletters redrive", said, lambda: tally.counts),
                _publishing(settings, tally, min(left, limit or left)) as publish,
            ):
                run(publish, rate)
    view.say(stdout(), tally, seconds=time.monotonic() - began, dry_run=dry_run, as_json=as_json)


def _confirm(left: int, limit: int, *, as_json: bool) -> None:
    most = f", at most {limit} of them now" if 0 < limit < left else ""
    if not typer.confirm(f"{left} photos are left to try again{most}. Publish them once more?", err=as_json):
        raise StrangeWorld("nothing was sent")


@contextmanager
def _publishing(settings: Settings, tally: Tally, total: int) -> Iterator[Callable[[PhotoUploaded], None]]:
    """With a bar on a terminal. What the broker did not take does not count."""
    columns = (TextColumn("redriving"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress(*columns) as bars:
        bar = bars.add_task("", total=total)
        try:
            with PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:

                def publish(event: PhotoUploaded) -> None:
                    producer.publish(event)
                    bars.advance(bar)

                yield publish
        except NotPublished as error:
            tally.sent -= len(error.event_ids)
            raise


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """As by Ctrl-C: so that the run's end is written down."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
