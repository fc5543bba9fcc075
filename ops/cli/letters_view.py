"""Dead letters as `safelight deadletters` prints them."""

import json
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.redrive import Tally, skip_of
from schemas.errors import Reason
from sinks.clickhouse.letters import Count, Letter
from streams.settings import Settings

_REASONS = frozenset(Reason)


def counts(found: Iterable[Count]) -> Table:
    """A row a reason, with what to do."""
    table = Table("reason", "letters", "open", "last", "what to do", box=None, pad_edge=False, header_style="bold")
    for each in found:
        table.add_row(
            each.reason, str(each.letters), str(each.open), f"{each.last:%Y-%m-%d %H:%M}", _advice(each.reason)
        )
    return table


def rows(found: Iterable[Letter]) -> Table:
    """A row a letter."""
    columns = ("rejected", "reason", "root", "attempt", "owner", "photo", "what was found")
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for each in found:
        texts = (_plain(text) for text in (each.owner_id, each.photo_id, each.detail))
        at = f"{each.rejected_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(at, each.reason, Text(each.name, no_wrap=True), str(each.attempt), *texts)
    return table


def whole(letter: Letter, settings: Settings) -> Table:
    """A line a field."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in of_letter(letter, settings).items():
        table.add_row(name.replace("_", " "), _plain("" if value is None else str(value)))
    return table


def of_count(count: Count) -> dict[str, object]:
    """For machines."""
    return count._asdict() | {"last": count.last.isoformat(), "advice": _advice(count.reason)}


def of_letter(letter: Letter, settings: Settings) -> dict[str, object]:
    """Everything about it, and whether it can be redriven as far as ClickHouse knows."""
    skip = skip_of(letter, generation=settings.generation, partitions=settings.partitions)
    return {
        "root": letter.name,
        "attempt": letter.attempt,
        "fill": letter.fill,
        "reason": letter.reason,
        "detail": letter.detail,
        "advice": letter.advice,
        "redrive": skip.words if skip else f"`safelight deadletters redrive {letter.name}` tries it again.",
        "skipped": skip,
        "owner_id": letter.owner_id,
        "photo_id": letter.photo_id,
        "event_id": letter.event_id,
        "object_uri": letter.object_uri,
        "source": letter.source,
        "stage": letter.stage,
        "payload_bytes": letter.payload_bytes,
        "rejected_at": letter.rejected_at.isoformat(),
        "worker_version": letter.worker_version,
    }


def say(console: Console, tally: Tally, *, seconds: float, dry_run: bool, as_json: bool) -> None:
    """What came of a run."""
    if as_json:
        skipped = dict(tally.skipped.most_common())
        told = {
            "dry_run": dry_run,
            "sent": 0 if dry_run else tally.sent,
            "skipped": skipped,
            "seconds": round(seconds, 3),
        }
        console.print_json(json.dumps(told | ({"would_send": tally.sent} if dry_run else {})))
        return
    console.print(
        f"{tally.sent} events would be sent"
        if dry_run
        else f"{tally.sent} events sent in {seconds:.1f} s; those that were under way already count once",
        highlight=False,
    )
    if tally.skipped:
        table = Table("skipped", "", "why", box=None, pad_edge=False, header_style="bold")
        for skip, count in tally.skipped.most_common():
            table.add_row(str(count), skip, skip.words)
        console.print(table)


def _advice(reason: str) -> str:
    # A newer worker can know reasons that this one does not.
    return Reason(reason).advice if reason in _REASONS else ""


def _plain(text: str) -> Text:
    """Ids are others' words: what is not printable, such as what steers a terminal, is spelled out."""
    return Text("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))
