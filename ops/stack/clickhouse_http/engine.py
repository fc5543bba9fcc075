"""The embedded engine: one a process and folder, with a session of its own for every request.

A session costs 0.3 ms and is never used twice: what a request sets cannot be unset in all cases (readonly), and after a
failed query the engine begins the next result of the session with what that one had written.
"""

from __future__ import annotations

import contextlib
import os
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

import chdb

from ops.stack.clickhouse_http import statement
from ops.stack.clickhouse_http.errors import ClickHouseError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from ops.stack.clickhouse_http.request import Request
    from ops.stack.clickhouse_http.statement import Statement

# Results in these formats may be cut anywhere between rows; others have a head or a foot.
_CONCATENABLE = frozenset(
    {
        "Native",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "RowBinary",
        "JSONEachRow",
        "JSONLines",
        "NDJSON",
    }
)
_PIECE_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)


class Engine:
    """ClickHouse's engine on one folder. Opening a second one in a process, or on a folder in use, is an error."""

    def __init__(self, data: Path) -> None:
        self._path = str(data)
        if set(self._path) & set("?&"):
            raise ValueError(f"{data}: the engine takes no folder with ? or & in its name")
        with resources.as_file(resources.files(__package__) / "engine.xml") as config:
            self._keeper = chdb.connect(f"{self._path}?config-file={config}&users_config={config}")
        self._own_default_database(data)
        self.version = self._ask("SELECT version()")
        self.timezone = self._ask("SELECT timezone()")
        self.name = self._ask("SELECT displayName()")

    def close(self) -> None:
        """Write what is under way and end the engine. Stopping twice is harmless."""
        self._keeper.close()

    def run(self, request: Request) -> Answer:
        """Not begun yet: it runs as it is iterated, in one thread."""
        return Answer(self._path, request)

    def _own_default_database(self, data: Path) -> None:
        """Make `default` an ordinary database.

        The engine's own looks up unknown tables as files of the working folder, which the grants do not allow: every
        statement on `default` would fail.
        """
        definition, tables = data / "metadata" / "default.sql", data / "metadata" / "default"
        if definition.exists() and not any(tables.glob("*.sql")):
            definition.unlink()  # the engine cannot attach an Atomic database without tables: it is made anew
            tables.unlink(missing_ok=True)
        if definition.exists():
            self._ask("DETACH DATABASE default")
            self._ask("ATTACH DATABASE default")
        elif any(tables.glob("*.sql")):
            raise ValueError(f"{data} was written by another program: name an empty folder")
        else:
            self._ask("DROP DATABASE default")
            self._ask("CREATE DATABASE default ENGINE = Atomic")

    def _ask(self, sql: str) -> str:
        return str(self._keeper.query(sql, "TabSeparated").bytes().decode()).strip()


class Answer:
    """The answer to one request: iterate it for the bytes of the result, then read `summary`.

    Everything runs in the thread that iterates. Leaving it early (`close`) cancels the query.
    """

    def __init__(self, path: str, request: Request) -> None:
        self._path = path
        self._request = request
        self.whole = request.whole
        """Whether nothing may be sent before its end."""
        self._bytes = self._run()
        self.format: str | None = None
        """Of the result, once the first bytes are there; None for a statement without one."""
        self.summary: dict[str, str] = {}
        """For X-ClickHouse-Summary."""

    def __iter__(self) -> Answer:
        return self

    def __next__(self) -> bytes:
        """ClickHouseError from the engine."""
        try:
            return next(self._bytes)
        except (chdb.ChdbError, RuntimeError) as error:
            raise ClickHouseError.from_engine(error) from error

    def close(self) -> None:
        """End the query if it still runs."""
        self._bytes.close()

    def _run(self) -> Generator[bytes]:
        parsed = statement.parse(self._request.query, self._request.body)
        with contextlib.closing(chdb.connect(self._path)) as session:
            _prepare(session, self._request)
            if parsed.data is not None:
                self._insert(session, parsed)
                return
            if parsed.answers:
                self.format = parsed.format or self._request.format
            if parsed.streams and self.format in _CONCATENABLE and not self._request.whole:
                yield from self._stream(session, parsed.sql)
            else:
                yield from self._whole(session, parsed.sql)

    def _stream(self, session: Any, sql: bytes) -> Generator[bytes]:
        rows = size = 0
        with session.send_query(sql, self._request.format, params=dict(self._request.parameters)) as result:
            while (block := result.fetch()) is not None:
                data = block.bytes()
                rows += block.rows_read()
                size += len(data)
                yield data
        self.summary = {"result_rows": str(rows), "result_bytes": str(size)}

    def _whole(self, session: Any, sql: bytes) -> Generator[bytes]:
        result = session.query(sql, self._request.format, params=dict(self._request.parameters))
        data = result.bytes()
        self.summary = {
            "read_rows": str(result.storage_rows_read()),
            "read_bytes": str(result.storage_bytes_read()),
            "result_rows": str(result.rows_read()),
            "result_bytes": str(len(data)),
            "elapsed_ns": str(int(result.elapsed() * 1e9)),
        }
        for at in range(0, len(data), _PIECE_BYTES):
            yield data[at : at + _PIECE_BYTES]

    def _insert(self, session: Any, insert: Statement) -> None:
        """As INSERT … FROM INFILE, out of a file in memory.

        Inline, the engine takes no binary data; and its `send_insert` says yes though the table refused them (too many
        parts, a broken constraint, too many partitions).
        """
        assert insert.data is not None  # noqa: S101 (for mypy)
        with os.fdopen(os.memfd_create("insert"), "wb") as file:
            file.write(insert.data)
            file.flush()
            source = f" FROM INFILE '/proc/self/fd/{file.fileno()}' COMPRESSION 'none' ".encode()
            sql = insert.sql + source + insert.settings + f" FORMAT {insert.format}".encode()
            result = session.query(sql, params=dict(self._request.parameters))
        self.summary = {
            "written_rows": str(result.rows_written()),
            "written_bytes": str(result.bytes_written()),
            "elapsed_ns": str(int(result.elapsed() * 1e9)),
        }


def _prepare(session: Any, request: Request) -> None:
    """Give the session its database and its settings."""
    if request.database:
        session.query(f"USE {_quoted(request.database, '`')}")
    if wrong := [name for name in request.settings if not _NAME.fullmatch(name)]:
        raise ClickHouseError.named("UNKNOWN_SETTING", f"Unknown setting {wrong[0]!r}")
    if request.settings:
        # In one statement, since nothing could be set after readonly.
        settings = [f"{name} = {_quoted(value, chr(39))}" for name, value in request.settings.items()]
        session.query(f"SET {', '.join(settings)}")


def _quoted(text: str, quote: str) -> str:
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote
