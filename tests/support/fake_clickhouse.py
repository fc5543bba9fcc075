"""ClickHouse in memory, as far as exactly once in effect rests on it: INSERTs with a token, into a table and its rollup.

What it stands for, and where that is written down (ClickHouse's documentation, "Deduplicating inserts on retries"):

- a table remembers the tokens of its last non_replicated_deduplication_window INSERTs, and drops an INSERT whose token it has,
  whatever is in it; with a window of 0 it remembers none
- with deduplicate_blocks_in_dependent_materialized_views, the table behind a materialized view has a window of its own, and is
  filled by an INSERT that the source drops, too: so one that was interrupted between the two is made whole by its repetition
- the answer to an INSERT may get lost, whatever has become of it
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from schemas.errors import Unavailable
from schemas.tables import Rows, Table


class Target:
    """Rows, and the tokens of the last INSERTs."""

    def __init__(self, window: int) -> None:
        self.rows: list[Any] = []
        self.tokens: deque[str] = deque(maxlen=window)

    def insert(self, rows: Sequence[Any], token: str) -> None:
        if token not in self.tokens:
            self.tokens.append(token)
            self.rows.extend(rows)


class Server:
    """A server whose tables each have a rollup: the sum of what was inserted, by value."""

    def __init__(self, window: int, rollup_window: int) -> None:
        self.windows = window, rollup_window
        self.tables: dict[str, tuple[Target, Target]] = {}
        self.fails: str | None = None
        """What happens to the next INSERT: it is "lost" on its way, done in "half", or only the "answer" gets lost."""

    def table(self, name: str) -> tuple[Target, Target]:
        return self.tables.setdefault(name, (Target(self.windows[0]), Target(self.windows[1])))

    def insert(self, name: str, rows: Sequence[Any], token: str) -> None:
        fails, self.fails = self.fails, None
        source, rollup = self.table(name)
        if fails != "lost":
            source.insert(rows, token)
            if fails != "half":
                rollup.insert(rows, token)
        if fails:
            raise Unavailable("clickhouse", fails)

    def others_insert(self) -> None:
        """So much that every token is forgotten."""
        for tables in self.tables.values():
            for target in tables:
                for number in range(target.tokens.maxlen or 0):
                    target.tokens.append(f"another's {number}")


class Writer:
    """What streams/pending.py asks of sinks/clickhouse/writer.py; `pause` is where a request is under way."""

    def __init__(self, server: Server, pause: Callable[[], Any]) -> None:
        self._server = server
        self._pause = pause

    def prepare(self, rows: Rows) -> bytes:
        return b",".join(b"%d" % number for (number,) in rows.values)

    async def insert(self, table: Table, block: bytes, token: str) -> None:
        await self._pause()
        try:
            self._server.insert(table.name, [int(number) for number in block.split(b",")], token)
        finally:
            await self._pause()
