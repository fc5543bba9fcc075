"""What the commands show: the demo's photos, and the state of a stack."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta

from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.table import Table
from rich.text import Text

from ops.demo import Demo, Outcome
from ops.stack.status import ServerStatus
from streams.lag import Lag

_LABELS_SHOWN = 3


def stdout() -> Console:
    """Where commands print."""
    console = Console()
    # In a file or a pipe lines may be long: broken ones are hard to read and to search.
    return console if console.is_terminal else Console(width=160)


def progress(*columns: ProgressColumn) -> Progress:
    """Bars on stderr, where that is a terminal; gone when they are done."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def demo_table(run: Demo) -> Table:
    """A row a photo: what was seen in it, or why it was rejected and what to do."""
    table = Table("photo", "what was seen", "copy of", "seconds", box=None, pad_edge=False, header_style="bold")
    names = {sent.event.photo_id: sent.name for sent in run.sent}
    for sent in run.sent:
        photo_id = sent.event.photo_id
        original = names.get(run.copies.get(photo_id, ""), "")
        table.add_row(Text(sent.name), _seen(run.outcomes[photo_id]), Text(original), f"{run.seconds[photo_id]:.2f}")
    return table


def _seen(outcome: Outcome) -> Text:
    if outcome.reason is not None:
        return Text(f"rejected, {outcome.reason}: {outcome.detail}. {outcome.reason.advice}", style="red")
    return Text(", ".join(f"{name} {score:.2f}" for name, score in outcome.labels[:_LABELS_SHOWN]))


def status_view(servers: Iterable[ServerStatus] | None, lags: Iterable[Lag]) -> dict[str, object]:
    """What `safelight status --json` prints; `servers` None when no stack runs in the data folder."""
    return {
        "stack": "up" if servers is not None else "none runs in this folder",
        "servers": [asdict(server) for server in servers or ()],
        "lag_records": _behind(lags),
    }


def status_table(servers: Iterable[ServerStatus], lags: Iterable[Lag], now: datetime) -> Table:
    """A row a server; for agents, how many records they have not committed yet."""
    table = Table(
        "server", "state", "up for", "restarts", "behind", "where", box=None, pad_edge=False, header_style="bold"
    )
    behind = _behind(lags)
    for server in servers:
        state = "healthy" if server.healthy else "not answering" if server.pid else "down"
        since = datetime.fromisoformat(server.since) if server.since else None
        records = f"{behind[server.name]} records" if server.name in behind else ""
        table.add_row(
            server.name,
            Text(state, style="" if server.healthy else "red"),
            _for(now - since) if since else "",
            str(server.restarts) if server.restarts else "",
            records,
            server.address,
        )
    return table


def _behind(lags: Iterable[Lag]) -> Counter[str]:
    behind: Counter[str] = Counter()
    for lag in lags:
        behind[lag.agent] += lag.records
    return behind


def _for(lived: timedelta) -> str:
    seconds = int(lived.total_seconds())
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
