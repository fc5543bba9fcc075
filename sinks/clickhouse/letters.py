"""Dead letters as ClickHouse knows them, each beside what became of its photo otherwise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.errors import Reason
from schemas.events import Root
from schemas.instants import milliseconds
from schemas.redrive import MOST_ATTEMPTS
from sinks.clickhouse.explain import explain

_PAGE = 10_000


class Place(NamedTuple):
    """Which outcome of a photo is newer: its owner's partition is always the same, so it is left out."""

    generation: int
    offset: int
    attempt: int
    fill: int


@dataclass(frozen=True, slots=True)
class Which:
    """Which letters. Times are of their rejection, `until` not included. `name`: a photo_id or a root, as Letter.name has it."""

    reasons: Sequence[Reason] = ()
    since: datetime | None = None
    until: datetime | None = None
    owner: str | None = None
    photo: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A row of dead_letters. `latest`: the newest letter of its photo; `seen`: the look at it that photos shows; zeros for none."""

    reason: str
    detail: str
    advice: str
    stage: str
    owner_id: str
    photo_id: str
    event_id: str
    object_uri: str
    source: str
    payload_bytes: int
    rejected_at: datetime
    worker_version: str
    root: Root
    attempt: int
    fill: int
    latest: Place
    seen: Place

    @property
    def name(self) -> str:
        """Names its upload, as "1-3-42"."""
        return f"{self.root.generation}-{self.root.partition}-{self.root.offset}"

    @property
    def place(self) -> Place:
        """Of its outcome."""
        return Place(self.root.generation, self.root.offset, self.attempt, self.fill)


class Count(NamedTuple):
    """Letters of one reason; `open`: photos that were rejected last, and not for the last time that a redrive can help."""

    reason: str
    letters: int
    open: int
    last: datetime


APART = (Reason.WRONG_PARTITION, Reason.INVALID_REDRIVE)
"""Rejects of records, rather than of photos: their roots compare with no other."""

_COLUMNS = [field.name for field in fields(Letter) if field.name not in {"root", "latest", "seen"}]
_PLACE = "(root_generation, root_offset, attempt, fill)"
_APART = f"(owner_id = '' OR reason IN ({', '.join(repr(reason.value) for reason in APART)}))"
_KEY = "(root_generation, root_partition, root_offset, owner_id, photo_id)"
_ORDER = _KEY.strip("()")

_BESIDE = f"""
SELECT *
FROM chosen
LEFT JOIN
(
    SELECT owner_id, photo_id, max({_PLACE}) AS latest
    FROM dead_letters
    WHERE (owner_id, photo_id) IN (SELECT owner_id, photo_id FROM chosen) AND NOT {_APART}
    GROUP BY owner_id, photo_id
) AS letters USING (owner_id, photo_id)
LEFT JOIN
(
    SELECT owner_id, photo_id, max({_PLACE}) AS seen
    FROM photo_enrichments
    WHERE (owner_id, photo_id) IN (SELECT owner_id, photo_id FROM chosen)
    GROUP BY owner_id, photo_id
) AS enrichments USING (owner_id, photo_id)
"""  # noqa: S608 (our own text)

_ROW = f"{', '.join(_COLUMNS)}, root_generation, root_partition, root_offset, latest, seen"

# The newest of each photo that was asked for; those apart stand each for itself.
_ONE_A_PHOTO = (
    f"ORDER BY {_PLACE} DESC LIMIT 1 BY owner_id, photo_id, {_APART}, {_APART} * root_partition, {_APART} * root_offset"
)


def counts(client: Client, which: Which) -> list[Count]:
    """By reason, the most first. Raises Unavailable, or StrangeWorld without the tables."""
    where, parameters = _where(which)
    sql = (
        f"WITH chosen AS (SELECT * FROM dead_letters WHERE {where}) "  # noqa: S608 (our own text, values as parameters)
        "SELECT toString(reason), count() AS letters, "
        f"countIf(NOT {_APART} AND {_PLACE} >= latest AND {_PLACE} > seen AND attempt < {MOST_ATTEMPTS}), max(rejected_at) "
        f"FROM ({_BESIDE}) GROUP BY reason ORDER BY letters DESC, reason"
    )
    return [Count(*row) for row in _ask(client, sql, parameters)]


def newest(client: Client, which: Which, limit: int) -> list[Letter]:
    """The last that came, the newest first. Raises as counts."""
    where, parameters = _where(which)
    sql = (
        f"WITH chosen AS (SELECT * FROM dead_letters WHERE {where} ORDER BY rejected_at DESC, {_ORDER} LIMIT {{limit:UInt64}}) "  # noqa: S608
        f"SELECT {_ROW} FROM ({_BESIDE}) ORDER BY rejected_at DESC, {_ORDER}, attempt DESC"
    )
    return [_letter(row) for row in _ask(client, sql, parameters | {"limit": limit})]


def one_a_photo(client: Client, which: Which, *, page: int = _PAGE) -> Iterator[Letter]:
    """Of each photo its newest letter that was asked for, in the order of their uploads; asked for page by page as they are taken.

    Letters that come meanwhile of uploads that were passed are left out, so the end is reached. Raises as counts.
    """
    where, parameters = _where(which)
    after = ""
    while True:
        sql = (
            f"WITH chosen AS (SELECT * FROM (SELECT * FROM dead_letters WHERE {where}{after} {_ONE_A_PHOTO}) "  # noqa: S608
            f"ORDER BY {_ORDER} LIMIT {{page:UInt64}}) SELECT {_ROW} FROM ({_BESIDE}) ORDER BY {_ORDER}"
        )
        letters = [_letter(row) for row in _ask(client, sql, parameters | {"page": page})]
        yield from letters
        if len(letters) < page:
            return
        last = letters[-1]
        after = f" AND {_KEY} > ({{g:Int32}}, {{p:Int32}}, {{o:Int64}}, {{last_owner:String}}, {{last_photo:String}})"
        parameters |= {"g": last.root.generation, "p": last.root.partition, "o": last.root.offset}
        parameters |= {"last_owner": last.owner_id, "last_photo": last.photo_id}


def _where(which: Which) -> tuple[str, dict[str, object]]:
    """A condition and its parameters."""
    given: dict[str, tuple[str, object]] = {}
    if which.reasons:
        given["reasons"] = ("has({reasons:Array(String)}, toString(reason))", [str(reason) for reason in which.reasons])
    if which.since:
        given["since"] = ("rejected_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')", milliseconds(which.since))
    if which.until:
        given["until"] = ("rejected_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')", milliseconds(which.until))
    if which.owner is not None:
        given["owner"] = ("owner_id = {owner:String}", which.owner)
    if which.photo is not None:
        given["photo"] = ("photo_id = {photo:String}", which.photo)
    if which.name is not None:
        root = "concat(toString(root_generation), '-', toString(root_partition), '-', toString(root_offset))"
        given["name"] = (f"(photo_id = {{name:String}} OR {root} = {{name:String}})", which.name)
    conditions = [condition for condition, _ in given.values()]
    return " AND ".join(conditions) or "1", {name: value for name, (_, value) in given.items()}


def _ask(client: Client, sql: str, parameters: dict[str, object]) -> Sequence[Sequence[Any]]:
    try:
        return client.query(sql, parameters).result_rows
    except ClickHouseError as error:
        raise explain(error, "dead_letters") from error


def _letter(row: Sequence[Any]) -> Letter:
    *plain, generation, partition, offset, latest, seen = row
    known = dict(zip(_COLUMNS, plain, strict=True))
    return Letter(**known, root=Root(generation, partition, offset), latest=Place(*latest), seen=Place(*seen))
