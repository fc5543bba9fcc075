"""What operators changed, as ClickHouse keeps it: migrations/0006_audit.sql."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from sinks.clickhouse.explain import explain


class Ending(StrEnum):
    """How a run ended."""

    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a command. `arguments`: what it was limited to, naming neither owner nor photo; `actor`: who ran it."""

    command: str
    arguments: Mapping[str, str]
    actor: str
    version: str
    started_at: datetime
    id: UUID = field(default_factory=uuid4)


def begin(client: Client, run: Run) -> None:
    """Before the first change. Raises Unavailable, or StrangeWorld without the table."""
    _insert(client, run, None, "", {}, revision=0)


def end(client: Client, run: Run, at: datetime, ending: Ending, counts: Mapping[str, int]) -> None:
    """In the place of what begin wrote. Raises as that."""
    _insert(client, run, at, ending, counts, revision=1)


def _insert(
    client: Client, run: Run, ended_at: datetime | None, ending: str, counts: Mapping[str, int], *, revision: int
) -> None:
    row = {
        "run": run.id,
        "command": run.command,
        "arguments": dict(run.arguments),
        "actor": run.actor,
        "version": run.version,
        "started_at": run.started_at,
        "ended_at": ended_at,
        "ending": str(ending),
        "counts": dict(counts),
        "revision": revision,
    }
    try:
        client.insert("audit", [list(row.values())], column_names=list(row), settings={"async_insert": 0})
    except ClickHouseError as error:
        raise explain(error, "audit") from error
