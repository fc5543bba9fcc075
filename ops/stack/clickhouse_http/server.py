"""The HTTP server: every statement waits its turn for one of a few engine threads."""

from __future__ import annotations

import asyncio
import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import BodyPartReader, web

from ops.stack.clickhouse_http import compression, guard, pages
from ops.stack.clickhouse_http.errors import ClickHouseError
from ops.stack.clickhouse_http.reply import Reply
from ops.stack.clickhouse_http.request import read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ops.stack.clickhouse_http.engine import Engine

logger = logging.getLogger(__name__)

_LONGEST_URI_BYTES = 1 << 20  # as ClickHouse's http_max_uri_size: parameters travel in it
_PAGE = "/{page:dashboard|play|js/[a-z-]+[.]js}"


class HttpServer:
    """ClickHouse's HTTP interface over one engine. At most `threads` statements run at once; the rest wait their turn."""

    def __init__(self, engine: Engine, *, threads: int, longest_body_bytes: int) -> None:
        self._engine = engine
        self._longest = longest_body_bytes
        # A statement stays in one thread from its first to its last byte.
        self._all_threads = [ThreadPoolExecutor(1, thread_name_prefix=f"engine-{number}") for number in range(threads)]
        self._threads: asyncio.Queue[ThreadPoolExecutor] = asyncio.Queue()
        for thread in self._all_threads:
            self._threads.put_nowait(thread)

    def runner(self, *, grace_seconds: float) -> web.AppRunner:
        """To serve with; its cleanup waits so long for what is under way."""
        app = web.Application(middlewares=[_guarded])
        app.router.add_get("/ping", _ok)
        app.router.add_get("/replicas_status", _ok)
        app.router.add_get(_PAGE, _page)
        app.router.add_get("/", self._root)
        app.router.add_post("/", self._ask)
        app.on_cleanup.append(self._end_threads)
        return web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            max_line_size=_LONGEST_URI_BYTES,
            max_field_size=_LONGEST_URI_BYTES,
            shutdown_timeout=grace_seconds,
        )

    async def _root(self, asked: web.Request) -> web.StreamResponse:
        return await (self._ask(asked) if "query" in asked.query else _ok(asked))

    async def _ask(self, asked: web.Request) -> web.StreamResponse:
        query_id = asked.query.get("query_id") or str(uuid.uuid4())
        headers = {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-ClickHouse-Server-Display-Name": self._engine.name,
        }
        try:
            fields, body = await self._body(asked)
            async with self._thread() as thread:
                plain = await asyncio.get_running_loop().run_in_executor(thread, self._decompressed, asked, body)
                wanted = read({**asked.query, **fields}, asked.headers, plain, writes=asked.method == "POST")
                return await Reply(asked, headers, self._engine.run(wanted), thread).send()
        except ClickHouseError as error:
            logger.debug("query %s: code %d", query_id, error.code)
            return self._failed(error, headers)
        except (ConnectionError, TimeoutError):
            logger.debug("query %s: its client left", query_id)
            if asked.transport:
                asked.transport.abort()
            return web.Response()  # to nobody

    async def _body(self, asked: web.Request) -> tuple[dict[str, str], bytes]:
        """The fields of a form, or the body as it came."""
        if asked.content_type == "multipart/form-data":
            return await self._form(asked), b""
        body = bytearray()
        async for piece in asked.content.iter_any():
            body += piece
            if len(body) > self._longest:
                raise compression.too_long(self._longest)
        return {}, bytes(body)

    async def _form(self, asked: web.Request) -> dict[str, str]:
        fields: dict[str, str] = {}
        left = self._longest
        async for part in await asked.multipart():
            if not isinstance(part, BodyPartReader) or part.filename:
                raise ClickHouseError.named(
                    "NOT_IMPLEMENTED", "External data are not served here: use a temporary table"
                )
            value = bytearray()
            while piece := await part.read_chunk():
                value += piece
                left -= len(piece)
                if left < 0:
                    raise compression.too_long(self._longest)
            fields[part.name or ""] = value.decode()
        return fields

    def _decompressed(self, asked: web.Request, body: bytes) -> bytes:
        return compression.decompress(body, asked.headers.get("Content-Encoding", ""), at_most=self._longest)

    @asynccontextmanager
    async def _thread(self) -> AsyncIterator[ThreadPoolExecutor]:
        thread = await self._threads.get()
        try:
            yield thread
        finally:
            self._threads.put_nowait(thread)

    async def _end_threads(self, _: web.Application) -> None:
        for thread in self._all_threads:
            await asyncio.to_thread(thread.shutdown)

    def _failed(self, error: ClickHouseError, headers: dict[str, str]) -> web.Response:
        text = str(error)
        if "(version " not in text:
            text += f" (version {self._engine.version})"
        headers = {**headers, "X-ClickHouse-Exception-Code": str(error.code)}
        return web.Response(status=error.status, text=f"{text}\n", headers=headers)


@web.middleware
async def _guarded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if refused := guard.refusal(request.headers, asks=request.method == "POST" or "query" in request.query):
        return web.Response(status=403, text=f"{refused}\n")
    return await handler(request)


async def _ok(_: web.Request) -> web.Response:
    return web.Response(text="Ok.\n")


async def _page(asked: web.Request) -> web.Response:
    name = asked.match_info["page"]
    found = await asyncio.to_thread(pages.page, name)
    if found is None:
        return web.Response(status=404, text="This engine does not carry this page\n")
    kind = "text/javascript" if name.endswith(".js") else "text/html"
    return web.Response(body=found, content_type=kind, charset="utf-8")
