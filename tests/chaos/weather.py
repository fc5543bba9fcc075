"""Bad weather around workers: ClickHouse and Triton answer slowly, break off or refuse, and the photos are gone for a while."""

import asyncio
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

from ops.stack.ports import free_port
from tests.chaos.servers import Servers

_HOST = "127.0.0.1"
_SLOWLY_SECONDS = 0.3  # that a piece of an answer takes longer
_BROKEN_OFF = 0.5  # of the pieces of answers: some come through, so that connections come to have answers at all
_NOTICED_SECONDS = 15.0  # within which somebody comes by; a worker that was killed is back by then
_LOOK_SECONDS = 0.05
_BUFFER_BYTES = 1 << 18
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


class Trouble(StrEnum):
    """What a dependency does."""

    SLOW = "answering slowly"
    BROKEN_OFF = "breaking off its answers"
    REFUSING = "refusing connections"
    GONE = "gone"


class Proxy:
    """What workers connect to instead of a server of this machine: passes everything on, as the weather is."""

    def __init__(self, server_port: Callable[[], int]) -> None:
        self.port = free_port()
        self._server_port = server_port
        self._trouble: Trouble | None = None
        self._hits = 0  # connections and answers that had the trouble
        self._connections: set[asyncio.Task[None] | None] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._do(self._listen())

    def close(self) -> None:
        self._do(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def strike(self, trouble: Trouble, seconds: float) -> bool:
        """For so long, and until somebody has noticed. Whether somebody has."""
        self._until_noticed(lambda: bool(self._connections))
        self._hits = 0
        self._trouble = trouble
        if trouble is Trouble.REFUSING:
            self._do(self._refuse())
        time.sleep(seconds)
        noticed = self._until_noticed(lambda: self._hits > 0)
        self._trouble = None
        if trouble is Trouble.REFUSING:
            self._do(self._listen())
        return noticed

    def _until_noticed(self, holds: Callable[[], bool]) -> bool:
        end = time.monotonic() + _NOTICED_SECONDS
        while not holds() and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
        return holds()

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._connected, _HOST, self.port, limit=_BUFFER_BYTES)

    async def _refuse(self) -> None:
        """No connection any more; those that stand are reset."""
        self._listener.close()
        connections = [each for each in self._connections if each]
        self._hits += len(connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(_LOOK_SECONDS)  # until the loop has closed them

    async def _connected(self, worker: asyncio.StreamReader, to_worker: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        self._connections.add(this)
        with suppress(asyncio.CancelledError):  # by _refuse; asyncio before Python 3.12 would tell it as an error
            await self._connect(worker, to_worker)
        self._connections.discard(this)
        _reset(to_worker)

    async def _connect(self, worker: asyncio.StreamReader, to_worker: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_connection(_HOST, self._server_port(), limit=_BUFFER_BYTES)
        except OSError:
            return  # it is away
        ways = [asyncio.create_task(_pass(worker, to_server)), asyncio.create_task(self._answer(server, to_worker))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            to_server.transport.abort()

    async def _answer(self, server: asyncio.StreamReader, to_worker: asyncio.StreamWriter) -> None:
        while piece := await server.read(_BUFFER_BYTES):
            if self._trouble is Trouble.SLOW:
                self._hits += 1
                await asyncio.sleep(_SLOWLY_SECONDS)
            if self._trouble is Trouble.BROKEN_OFF and random.random() < _BROKEN_OFF:
                self._hits += 1
                to_worker.write(piece[: len(piece) // 2])
                return
            to_worker.write(piece)
            await to_worker.drain()
        await _end(to_worker)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_BUFFER_BYTES):
        writer.write(piece)
        await writer.drain()
    await _end(writer)


async def _end(writer: asyncio.StreamWriter) -> None:
    """What was sent arrives, whole: also an INSERT of a worker that was killed right behind it."""
    writer.close()
    await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Unless it is closed already."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


class Weather:
    """Of ClickHouse, Triton and the folder of the photos. `addresses` are for workers only: the harness has good weather."""

    def __init__(self, servers: Servers, objects: Path) -> None:
        self._objects = objects
        self._proxies = {
            "clickhouse": Proxy(lambda: servers.clickhouse.port),
            "triton": Proxy(lambda: int(servers.triton.grpc.rpartition(":")[2])),
        }

    @property
    def addresses(self) -> Mapping[str, str]:
        """As settings."""
        return {
            "clickhouse_url": f"http://{_HOST}:{self._proxies['clickhouse'].port}",
            "triton": f"{_HOST}:{self._proxies['triton'].port}",
        }

    def strike(self, whom: str, trouble: Trouble, seconds: float) -> bool:
        """For so long. Whether somebody has noticed, as far as can be told."""
        if trouble is not Trouble.GONE:
            return self._proxies[whom].strike(trouble, seconds)
        away = self._objects.rename(self._objects.with_name("gone"))
        time.sleep(seconds)
        away.rename(self._objects)
        return True

    def close(self) -> None:
        for proxy in self._proxies.values():
            proxy.close()
