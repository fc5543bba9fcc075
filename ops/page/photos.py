"""Photos as small prints for the wall: only what was enriched, only from the configured object roots, and checked by its digest."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ops.page.panels import Asks
from ops.page.shrink import Unshowable, shrink
from schemas.errors import Rejected, Unavailable

PLACEHOLDER = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240"><g fill="none" stroke="#8b7a6e" stroke-width="3" \
stroke-opacity=".55"><rect x="112" y="78" width="96" height="84" rx="6"/><path d="M120 152l28-34 20 22 12-14 20 26"/>\
<circle cx="182" cy="102" r="8"/></g></svg>"""

_SQL = Path(__file__).with_name("photo.sql").read_text()

_KEPT = 300
"""Prints kept in memory, of about 40 kB: the wall several times over."""

_AT_ONCE = 2
"""Photos read and shrunk at the same time: each may hold its whole object and its pixels."""

_READ_SECONDS = 15

Read = Callable[[str], Awaitable[bytes]]
"""The bytes at an object_uri. Raises Rejected when there is none to be had, or none that may be; Unavailable when the store is down."""


@dataclass(frozen=True, slots=True)
class Print:
    """A photo as a small JPEG; None when it cannot be shown. `tag` changes when the bytes do."""

    tag: str
    jpeg: bytes | None


class Photos:
    """Prints by owner and photo. What was rejected is never decoded here, and what was erased is never shown."""

    def __init__(self, clickhouse: Asks, read: Read) -> None:
        self._clickhouse = clickhouse
        self._read = read
        self._prints: OrderedDict[str, bytes] = OrderedDict()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="shrink")

    async def find(self, owner: str, photo: str) -> Print | None:
        """None when ClickHouse knows no such photo; asked each time, so that an erasure holds here too. Raises Unavailable."""
        answer = await self._clickhouse.ask(_SQL, {"owner": owner, "photo": photo})
        if not answer.rows:
            return None
        uri, sha256 = answer.rows[0]
        if sha256 in self._prints:
            self._prints.move_to_end(sha256)
            return Print(sha256, self._prints[sha256])
        try:
            async with self._turns, asyncio.timeout(_READ_SECONDS):
                jpeg = await self._develop(uri, sha256)
        except (Rejected, Unavailable, Unshowable, TimeoutError):
            return Print(sha256, None)
        self._prints[sha256] = jpeg
        while len(self._prints) > _KEPT:
            self._prints.popitem(last=False)
        return Print(sha256, jpeg)

    async def _develop(self, uri: str, sha256: str) -> bytes:
        photo = await self._read(uri)
        return await asyncio.get_running_loop().run_in_executor(self._threads, _checked, photo, sha256)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _checked(photo: bytes, sha256: str) -> bytes:
    if hashlib.sha256(photo).hexdigest() != sha256:
        raise Unshowable("these are not the bytes that were looked at")
    return shrink(photo)
