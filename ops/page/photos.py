"""Photos as small prints for the wall: only what was enriched, only from the configured object roots, only the bytes that were seen."""

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from agents.photo.fetch import Objects
from agents.photo.location import Location
from agents.photo.root import parse_root
from ops.page.panels import Asks
from ops.page.shrink import shrink
from schemas.errors import Reason, Rejected, StrangeWorld, Unavailable
from schemas.metrics import Declared
from streams.settings import Settings

PLACEHOLDER = b"""<svg xmlns="http://www.w3.org/2000/svg" width="320" height="240" viewBox="0 0 320 240"><g fill="none" stroke="#8b7a6e" stroke-width="3" \
stroke-opacity=".55"><rect x="112" y="78" width="96" height="84" rx="6"/><path d="M120 152l28-34 20 22 12-14 20 26"/>\
<circle cx="182" cy="102" r="8"/></g></svg>"""

_SQL = Path(__file__).with_name("photo.sql").read_text()

_KEPT = 300
"""Prints kept in memory, of about 40 kB: the wall several times over."""

_AT_ONCE = 2
"""Photos read at the same time: each may hold its whole object."""

_READ_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Print:
    """A photo as a small JPEG; None when it cannot be shown. `tag` changes when the bytes do."""

    tag: str
    jpeg: bytes | None


class Photos:
    """Prints by owner and photo. What was rejected is never decoded here, and what was erased is never shown."""

    def __init__(self, clickhouse: Asks, settings: Settings) -> None:
        self._clickhouse = clickhouse
        self._settings = settings
        self._opened: dict[Location, Objects] = {}
        self._prints: OrderedDict[str, bytes] = OrderedDict()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shrink")

    async def find(self, owner: str, photo: str) -> Print | None:
        """None when ClickHouse knows no such photo; it is asked each time, so that an erasure holds here too.

        Raises Unavailable or StrangeWorld when ClickHouse does not answer.
        """
        answer = await self._clickhouse.ask(_SQL, {"owner": owner, "photo": photo})
        if not answer.rows:
            return None
        uri, sha256, size_bytes = answer.rows[0]
        if sha256 in self._prints:
            self._prints.move_to_end(sha256)
            return Print(sha256, self._prints[sha256])
        try:
            async with asyncio.timeout(_READ_SECONDS), self._turns:
                jpeg = await self._develop(uri, sha256, size_bytes)
        except (Rejected, Unavailable, StrangeWorld, TimeoutError):
            return Print(sha256, None)
        self._prints[sha256] = jpeg
        while len(self._prints) > _KEPT:
            self._prints.popitem(last=False)
        return Print(sha256, jpeg)

    async def _develop(self, uri: str, sha256: str, size_bytes: int) -> bytes:
        objects = self._objects(uri)
        photo = await objects.read(*objects.find(uri), size_bytes=size_bytes, sha256=bytes.fromhex(sha256))
        return await asyncio.get_running_loop().run_in_executor(self._thread, shrink, photo)

    def _objects(self, uri: str) -> Objects:
        """The deepest root above it. Each is opened when it is first needed: one that is away hides no photo of the others."""
        location, settings = Location.parse(uri), self._settings
        roots = {parse_root("SAFELIGHT_OBJECT_ROOTS", url): url for url in settings.object_roots}
        above = [root for root in roots if location.under(root)]
        if not above:
            raise Rejected(Reason.OBJECT_NOT_ALLOWED, "it lies under no object root")
        root = max(above, key=lambda each: len(each.segments))
        if root not in self._opened:
            private = {parse_root("SAFELIGHT_PRIVATE_ROOTS", url) for url in settings.private_roots}
            self._opened[root] = Objects(
                [roots[root]],
                private_roots=[roots[root]] if root in private else [],
                max_object_bytes=settings.max_object_bytes,
                measure=_Unmeasured(),
            )
        return self._opened[root]

    async def close(self) -> None:
        """Let go of connections and of the thread."""
        for objects in self._opened.values():
            await objects.close()
        self._thread.shutdown(wait=False, cancel_futures=True)


class _Unmeasured:
    """Metrics are about the pipeline; who looks at it does not count."""

    def count(self, metric: Declared, amount: float = 1, **labels: str) -> None: ...

    def observe(self, metric: Declared, seconds: float, **labels: str) -> None: ...
