"""Rows into ClickHouse: as one INSERT for each table, safe to repeat."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.errors import StrangeWorld
from schemas.tables import TABLES, Rows, Table
from sinks.clickhouse import native, windows
from sinks.clickhouse.client import connect_async
from sinks.clickhouse.entries import question
from sinks.clickhouse.explain import explain
from sinks.clickhouse.native import Columns

_COLUMNS = "SELECT table, name, type FROM system.columns WHERE database = {database:String}"

_EXACT: dict[str, object] = {
    # Said every time, whatever the server's defaults are: they differ between versions, and one of them alone loses the guarantee.
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "materialized_views_ignore_errors": 0,
    # 100 by default, and then an error: photos of a long outage can be of many days.
    "max_partitions_per_insert_block": 0,
    # Else the answer begins with 200 after a while, and what goes wrong later is missed.
    "send_progress_in_http_headers": 0,
}

_WHERE_KNOWN: dict[str, object] = {"deduplicate_insert": "enable"}
"""Since ClickHouse 26.x, where it overrules insert_deduplicate."""


class Connection(Protocol):
    """What the writer needs of clickhouse-connect's AsyncClient."""

    @property
    def server_settings(self) -> Mapping[str, object]:
        """The settings that the server knows."""

    async def query(self, query: str, parameters: dict[str, Any]) -> Any:
        """The answer, with its result_rows."""

    async def raw_insert(
        self, table: str, column_names: Sequence[str], insert_block: bytes, settings: dict[str, Any], fmt: str
    ) -> Any:
        """Send a block as it is."""

    async def close(self) -> None:
        """Let go of the connections."""


@dataclass(frozen=True, slots=True)
class Memory:
    """For how many inserts, and for how long (None: for ever), every table and rollup remembers an insert's token."""

    inserts: int
    age: timedelta | None


class ClickHouseWriter:
    """Write rows as one INSERT that is safe to repeat."""

    def __init__(self, connection: Connection, columns: Mapping[str, Columns], memory: Memory) -> None:
        """`columns`: the columns of each table of schemas/tables.py, with ClickHouse's types. Use open()."""
        self._connection = connection
        self._columns = columns
        self._settings = _EXACT | {
            name: value for name, value in _WHERE_KNOWN.items() if name in connection.server_settings
        }
        self.memory = memory

    @classmethod
    async def open(cls, *, url: str, user: str, password: str, database: str) -> "ClickHouseWriter":
        """Connected, its tables known. Raises Unavailable when ClickHouse is not there, StrangeWorld when its tables are not ours."""
        return await cls.over(await connect_async(url=url, user=user, password=password, database=database), database)

    @classmethod
    async def over(cls, connection: Connection, database: str) -> "ClickHouseWriter":
        """As open, over a connection that is there; closes it when it raises."""
        try:
            found = (await connection.query(_COLUMNS, {"database": database})).result_rows
            engines = (await connection.query(windows.OURS, {"database": database})).result_rows
            return cls(connection, _typed(found, database), _memory(engines, database))
        except ClickHouseError as error:
            await connection.close()
            raise explain(error, f"database {database}") from error
        except StrangeWorld:
            await connection.close()
            raise

    def prepare(self, rows: Rows) -> bytes:
        """The rows as insert() takes them. Raises Refused, naming table, column and row: before anything is pending.

        CPU work (some 30 ms for 1,000 embeddings of 1,280 numbers); may be called in any thread.
        """
        return native.block(rows.table.name, self._columns[rows.table.name], rows.values)

    async def insert(self, table: Table, block: bytes, token: str) -> None:
        """One INSERT. Repeated with the same block and token it changes nothing, in the table and in every rollup.

        Raises Unavailable (it may be there nevertheless: repeat it), Refused, or StrangeWorld when the table is gone.
        """
        settings = self._settings | {"insert_deduplication_token": token}
        try:
            await self._connection.raw_insert(table.name, table.columns, block, settings, "Native")
        except ClickHouseError as error:
            raise explain(error, table.name) from error

    async def holds(self, topic: str, partition: int, partitions: int) -> bool:
        """Whether it has rows of that partition of the topic (sinks/clickhouse/entries.py). Raises Unavailable."""
        try:
            return bool((await self._connection.query(*question(topic, partition, partitions))).result_rows)
        except ClickHouseError as error:
            raise explain(error, f"rows of {topic}") from error

    async def close(self) -> None:
        """Let go of the connections."""
        await self._connection.close()


def _typed(found: list[tuple[str, str, str]], database: str) -> dict[str, Columns]:
    types: dict[str, dict[str, str]] = defaultdict(dict)
    for name, column, kind in found:
        types[name][column] = kind
    for table in TABLES:
        missing = [column for column in table.columns if column not in types[table.name]]
        if missing:
            what = f"columns {', '.join(missing)} of" if types[table.name] else "table"
            raise StrangeWorld(f"ClickHouse has no {what} {database}.{table.name}: run `safelight migrate`")
    return {
        table.name: [(column, get_from_name(types[table.name][column])) for column in table.columns] for table in TABLES
    }


def _memory(engines: list[tuple[str, str]], database: str) -> Memory:
    found = {name: windows.window_of(engine) for name, engine in engines}
    for name, window in found.items():
        if not window.inserts:
            raise StrangeWorld(f"ClickHouse's table {database}.{name} remembers no inserts: run `safelight migrate`")
    ages = [window.age for window in found.values() if window.age is not None]
    return Memory(min(window.inserts for window in found.values()), min(ages, default=None))
