"""One answer on its way to the client: whole where it is short, else in pieces as the engine makes them."""

from __future__ import annotations

import asyncio
import functools
import json
import secrets
from typing import TYPE_CHECKING

from aiohttp import web

from ops.stack.clickhouse_http import compression
from ops.stack.clickhouse_http.errors import ClickHouseError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from typing import TypeVar

    from ops.stack.clickhouse_http.engine import Answer

    T = TypeVar("T")

# Up to this size an answer waits for its end: it then has a length and a summary, and its error is a plain one.
_HELD_BYTES = 1 << 20
# A client that takes nothing for so long loses its answer, which holds one of the few engine threads.
_PATIENCE_SECONDS = 60
_TEXT = "text/plain; charset=UTF-8"
_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "Arrow": "application/octet-stream",
    "ArrowStream": "application/octet-stream",
    "Parquet": "application/octet-stream",
}


class Reply:
    """To one request; `thread` has one worker, in which all of the answer runs."""

    def __init__(self, asked: web.Request, headers: dict[str, str], answer: Answer, thread: Executor) -> None:
        self._asked = asked
        self._answer = answer
        self._thread = thread
        self._tag = secrets.token_hex(8)
        self._headers = {**headers, "X-ClickHouse-Exception-Tag": self._tag}

    async def send(self) -> web.StreamResponse:
        """ClickHouseError if the query fails before anything was sent."""
        held = bytearray()
        try:
            while piece := await self._next():
                held += piece
                if len(held) > _HELD_BYTES and not self._answer.whole:
                    return await self._in_pieces(bytes(held))
            return await self._at_once(bytes(held))
        finally:
            self._thread.submit(self._answer.close)  # not awaited: this may be the end of a cancelled request

    async def _at_once(self, body: bytes) -> web.Response:
        self._describe()
        self._headers["X-ClickHouse-Summary"] = json.dumps(self._answer.summary)
        if squeeze := self._compressor():
            body = await self._run(lambda: squeeze.compress(body) + squeeze.flush())
        return web.Response(body=body, headers=self._headers)

    async def _in_pieces(self, first: bytes) -> web.StreamResponse:
        self._describe()
        squeeze = self._compressor()
        response = web.StreamResponse(headers=self._headers)
        response.enable_chunked_encoding()
        await response.prepare(self._asked)
        piece: bytes | None = first
        while piece:
            await self._write(
                response, await self._run(functools.partial(squeeze.compress, piece)) if squeeze else piece
            )
            try:
                piece = await self._next()
            except ClickHouseError as error:
                last = _late(error, self._tag)
                await self._write(response, squeeze.compress(last) if squeeze else last)
                piece = None
        if squeeze:
            await self._write(response, squeeze.flush())
        await response.write_eof()
        return response

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        if data:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await response.write(data)

    async def _next(self) -> bytes | None:
        return await self._run(lambda: next(self._answer, None))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _describe(self) -> None:
        if format_ := self._answer.format:
            self._headers["X-ClickHouse-Format"] = format_
            json_ = "application/json; charset=UTF-8" if format_.startswith("JSON") else _TEXT
            self._headers["Content-Type"] = _TYPES.get(format_, json_)
        else:
            self._headers["Content-Type"] = _TEXT

    def _compressor(self) -> compression.Compressor | None:
        if self._asked.query.get("enable_http_compression") != "1":
            return None
        found = compression.compressor(self._asked.headers.get("Accept-Encoding", ""))
        if found is None:
            return None
        self._headers["Content-Encoding"], squeeze = found
        return squeeze


def _late(error: ClickHouseError, tag: str) -> bytes:
    """An error in the middle of an answer, as ClickHouse marks it there since 25.11."""
    text = f"{error}\n"
    return f"\r\n__exception__\r\n{tag}\r\n{text}{len(text.encode())} {tag}\r\n__exception__\r\n".encode()
