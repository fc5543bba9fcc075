"""ClickHouse against what must be there: every table and every rollup of the database, none forgotten.

The rows that must be there go, as the writer would send them, into bare tables of a database beside; the two are then held
against each other by ClickHouse itself, in its own types. A rollup is held against its own defining SELECT over the table that it
sums up, as that stands.
"""

import math
import re
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.client import Client

from schemas.tables import TABLES, Rows
from sinks.clickhouse import native
from tests.chaos.differences import Differences, shortened

WALL_CLOCK = "stored_at"
"""When a row was written: left out, of tables."""

LATENCIES = ("latency_milliseconds", "latency_buckets")
"""What rollups make of it. When ClickHouse is killed between a table and its rollup, the INSERT's repeat reaches the rollup only, and
later: so these may tell of longer times than the table, never of shorter ones, nor of fewer or more rows."""

NOT_OF_PHOTOS = ("migrations", "audit")
"""Tables that no record turns into a row of."""

_STORES_NOTHING = ("View", "MaterializedView")

_SUM_TOLERANCE = 1e-9
"""Of a sum of Float64, relative: ClickHouse adds up part by part, in whatever order it merges, and rounds each time (2^-53 of what
it has). What is added is never negative, so a million of additions are off by 1e-10 at most. Whether a row is missing or counted
twice is told exactly by the counts."""

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class _Stored:
    """A table as the server describes it."""

    name: str
    engine: str
    engine_full: str
    sorting_key: str
    create: str
    select: str
    columns: Mapping[str, str]  # each with its type


class Tables:
    """The tables of a database, and those that must be. Use beside()."""

    def __init__(self, client: Client, database: str, beside: str) -> None:
        self._client = client
        self._database = database
        self._beside = beside
        self._stored = _described(client, database)
        self.names = {name for name, stored in self._stored.items() if stored.engine not in _STORES_NOTHING}
        self._written = {table.name for table in TABLES} & self.names
        for name in self._written:
            client.command(
                f"CREATE TABLE `{beside}`.`{name}` AS `{database}`.`{name}` ENGINE = MergeTree ORDER BY tuple()"
            )

    def expect(self, expected: Iterable[Rows]) -> None:
        """Rows that must be there, in addition to those before."""
        settings = {"async_insert": 0, "max_partitions_per_insert_block": 0}
        for table, rows in ((each.table, each.values) for each in expected if each.table.name in self._written):
            kinds = self._stored[table.name].columns
            columns = [(column, get_from_name(kinds[column])) for column in table.columns]
            block = native.block(table.name, columns, rows)
            self._client.raw_insert(f"`{self._beside}`.`{table.name}`", table.columns, block, settings, "Native")

    def compare(self, found: Differences) -> None:
        """Tell which tables and rollups are not as they must be; every table that stores something has a rule, or is told too."""
        feeds = self._feeds()
        for name in sorted(self._written):
            self._compare_table(self._stored[name], found)
        for name in sorted(feeds.keys() & self.names):
            self._compare_rollup(self._stored[name], feeds[name], found)
        for table in TABLES:
            if table.name not in self.names:
                found.add(table.name, "there is no such table")
        for name in sorted(self.names - self._written - feeds.keys() - set(NOT_OF_PHOTOS)):
            found.add(name, "no rule says what must be in it: give it one in tests/chaos/tables.py")

    def _feeds(self) -> dict[str, list[str]]:
        """Of each rollup, the SELECTs of the materialized views that write into it."""
        feeds = defaultdict(list)
        for stored in self._stored.values():
            if stored.engine == "MaterializedView":
                target = re.search(r"\sTO\s+(?:`?\w+`?\.)?`?(\w+)`?", stored.create.partition("(")[0])
                feeds[target[1] if target else f".inner of {stored.name}"].append(stored.select)
        return feeds

    # Tables

    def _compare_table(self, stored: _Stored, found: Differences) -> None:
        columns = [column for column in stored.columns if column != WALL_CLOCK]
        listed = ", ".join(f"`{column}`" for column in columns)
        actual = f"SELECT {listed} FROM `{self._database}`.`{stored.name}`"
        expected = f"SELECT {listed} FROM `{self._beside}`.`{stored.name}`"
        version = re.match(r"\w*ReplacingMergeTree\((?:'[^']*', '[^']*', )?(\w+)\)", stored.engine_full)
        if version is None:
            found.add_all(stored.name, self._differing(columns, actual, expected))
            return
        # Older rows may or may not be replaced yet: what counts is what is seen, and that no row is there more often than sent.
        latest = f"{expected} ORDER BY `{version[1]}` DESC LIMIT 1 BY {stored.sorting_key}"
        found.add_all(stored.name, self._differing(columns, f"{actual} FINAL", latest))
        found.add_all(stored.name, self._differing(columns, actual, expected, "surplus > 0"))

    def _differing(
        self, columns: Sequence[str], actual: str, expected: str, which: str = "surplus != 0"
    ) -> Iterator[str]:
        listed = ", ".join(f"`{column}`" for column in columns)
        rows = self._client.query(
            f"SELECT sum(n) AS surplus, {listed} FROM (SELECT *, 1::Int64 AS n FROM ({actual}) UNION ALL "
            f"SELECT *, -1::Int64 AS n FROM ({expected})) GROUP BY {listed} HAVING {which} ORDER BY {listed} LIMIT {_EXAMPLES}"
        ).result_rows
        for surplus, *values in rows:
            row = ", ".join(f"{column}={shortened(value)}" for column, value in zip(columns, values, strict=True))
            many = f"{abs(surplus)} more" if surplus > 0 else f"{abs(surplus)} fewer"
            yield f"{many} than must be of {row}"

    # Rollups

    def _compare_rollup(self, stored: _Stored, selects: Sequence[str], found: Differences) -> None:
        merged = {column: _merged(column, kind) for column, kind in stored.columns.items()}
        keys = [column for column, by in merged.items() if by is None]
        values = [column for column, by in merged.items() if by is not None]
        every = ", ".join(f"`{column}`" for column in stored.columns)
        again = " UNION ALL ".join(f"SELECT {every} FROM ({select})" for select in selects)
        actual = self._summed(f"`{self._database}`.`{stored.name}`", keys, values, merged)
        expected = self._summed(f"({again})", keys, values, merged)
        for key in sorted(actual.keys() | expected.keys(), key=repr):
            has, must = actual.get(key), expected.get(key)
            if has is None or must is None:
                found.add(stored.name, f"{shortened(key)} {'is missing' if has is None else 'must not be there'}")
                continue
            for column, one, other in zip(values, has, must, strict=True):
                alike = _not_earlier(one, other) if column in LATENCIES else _same(one, other, stored.columns[column])
                if not alike:
                    found.add(
                        stored.name, f"{shortened(key)}: {column} is {shortened(one)}, must be {shortened(other)}"
                    )

    def _summed(
        self, source: str, keys: Sequence[str], values: Sequence[str], merged: Mapping[str, str | None]
    ) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        by = ", ".join(f"`{key}`" for key in keys)
        what = ", ".join(str(merged[value]) for value in values)
        rows = self._client.query(f"SELECT {by}, {what} FROM {source} GROUP BY {by}").result_rows
        return {tuple(map(_hashable, row[: len(keys)])): tuple(row[len(keys) :]) for row in rows}


@contextmanager
def beside(client: Client, database: str) -> Iterator[Tables]:
    """The tables, with a database beside them that is gone at the end."""
    name = f"{database}_expected_{secrets.token_hex(4)}"
    client.command(f"CREATE DATABASE `{name}`")
    try:
        yield Tables(client, database, name)
    finally:
        client.command(f"DROP DATABASE `{name}` SYNC")


def _described(client: Client, database: str) -> dict[str, _Stored]:
    columns: dict[str, dict[str, str]] = defaultdict(dict)
    for table, column, kind in client.query(
        "SELECT table, name, type FROM system.columns WHERE database = {database:String} ORDER BY table, position",
        {"database": database},
    ).result_rows:
        columns[table][column] = kind
    rows = client.query(
        "SELECT name, engine, engine_full, sorting_key, create_table_query, as_select FROM system.tables "
        "WHERE database = {database:String}",
        {"database": database},
    ).result_rows
    return {row[0]: _Stored(*row, columns[row[0]]) for row in rows}


def _merged(column: str, kind: str) -> str | None:
    """How a rollup's column adds up; None for one that it is by."""
    found = re.match(r"(Simple)?AggregateFunction\((?:\d+, )?(\w+)", kind)
    if found is None:
        return None
    return f"{found[2]}(`{column}`)" if found[1] else f"{found[2]}Merge(`{column}`)"


def _same(one: object, other: object, kind: str) -> bool:
    if kind == "SimpleAggregateFunction(sum, Float64)":
        return math.isclose(one, other, rel_tol=_SUM_TOLERANCE)
    return one == other


def _not_earlier(one: Any, other: Any) -> bool:
    """Whether a sum of latencies, or a histogram of them, can be of the same rows, written then or later."""
    if not isinstance(one, Mapping):
        return bool(one >= other)

    def within(histogram: Mapping[int, int], limit: int) -> int:
        return sum(count for bucket, count in histogram.items() if bucket <= limit)

    return sum(one.values()) == sum(other.values()) and all(
        within(one, limit) <= within(other, limit) for limit in {*one, *other}
    )


def _hashable(value: object) -> object:
    return tuple(sorted(value.items())) if isinstance(value, dict) else value
