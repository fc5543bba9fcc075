"""Reading objects: only what lies under a configured root, only so much, and only the bytes that the event means."""

import asyncio
import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import LocalStore, from_url

from agents.life import life
from agents.measure import Measure
from agents.photo.location import Location
from schemas import metrics
from schemas.errors import Reason, Rejected, StrangeWorld, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import GetResult
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_CLIENT: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=30),  # between two reads, so that a stalled connection is noticed
    "timeout": timedelta(minutes=10),  # of the whole request; the default of 30 s cuts big objects on slow lines
}

_RETRY: "RetryConfig" = {"max_retries": 0}
"""agents/retry.py waits, and says so."""

_CHUNK_BYTES = 1 << 20
"""Hashed at a time, on the event loop: about a millisecond."""

_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_GONE = 410

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
_NO_RIGHT = "safelight has no right to read the file at object_uri"

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Objects:
    """The object stores of the configured roots."""

    def __init__(self, roots: Sequence[str], *, max_object_bytes: int, measure: Measure) -> None:
        """Raises StrangeWorld, in one line, for a root that cannot be one."""
        self._roots = sorted((Root(url) for url in roots), key=lambda root: -len(root.location.segments))
        self._max_bytes = max_object_bytes
        self._measure = measure

    @property
    def roots(self) -> "Sequence[Root]":
        """Each once, deepest first."""
        return self._roots

    def find(self, uri: str) -> "tuple[Root, Location]":
        """The root under which the object lies, the deepest if there are several. Raises Rejected(OBJECT_NOT_ALLOWED)."""
        location = Location.parse(uri)
        for root in self._roots:
            if location.under(root.location):
                return root, location
        raise Rejected(Reason.OBJECT_NOT_ALLOWED, "object_uri lies under none of the configured object roots")

    async def read(self, root: "Root", location: Location, *, size_bytes: int, sha256: bytes) -> bytes:
        """The object's bytes, which are `size_bytes` many and have this SHA-256.

        Raises Rejected: OBJECT_MISSING, OBJECT_TOO_LARGE, OBJECT_NOT_ALLOWED, WRONG_SHA256, or INVALID_EVENT if only the
        size is wrong. Raises Unavailable when the store does not answer. Never holds more than `size_bytes`.
        """
        began = time.perf_counter()
        answer = await root.get(location)
        size = answer.meta["size"]
        if size > self._max_bytes:
            raise Rejected(Reason.OBJECT_TOO_LARGE, f"the object has {size} bytes, at most {self._max_bytes} are read")
        # Of another size than announced, it can only be rejected, and to say why its digest is enough.
        kept: list[bytes] = []
        digest = hashlib.sha256()
        got = 0
        with root.translated():
            async for chunk in answer.stream(min_chunk_size=_CHUNK_BYTES):
                digest.update(chunk)
                life().sign()
                got += len(chunk)
                if got > self._max_bytes:
                    raise Rejected(Reason.OBJECT_TOO_LARGE, f"the object has more than {self._max_bytes} bytes")
                if size == size_bytes:
                    kept.append(chunk)
        self._measure.observe(metrics.FETCH, time.perf_counter() - began)
        self._measure.count(metrics.FETCHED, got)
        if digest.digest() != sha256:
            raise Rejected(
                Reason.WRONG_SHA256,
                f"content_sha256 begins with {sha256.hex()[:12]}, the SHA-256 of the object's {got} bytes "
                f"with {digest.hexdigest()[:12]}",
            )
        if got != size_bytes:
            raise Rejected(Reason.INVALID_EVENT, f"size_bytes is {size_bytes}, the object has {got} bytes")
        return b"".join(kept)


class _Forbidden(Unavailable):
    """The store knows of the request and refuses it."""


class Root:
    """One place under which photos may be read."""

    def __init__(self, url: str) -> None:
        try:
            self.location = Location.parse(url.rstrip("/"))
        except Rejected as why:
            raise StrangeWorld(
                f"SAFELIGHT_OBJECT_ROOTS: {why.detail.replace('object_uri', 'a root')}; give URLs such as "
                "file:///srv/photos or s3://bucket/folder"
            ) from why
        self.name = url
        self._served: str | None = None  # a path that could be read
        try:
            self._folder, self._store = self._open(url)
        except (OSError, BaseError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise StrangeWorld(
                f"SAFELIGHT_OBJECT_ROOTS: {url} cannot be opened ({reason}); correct or create it"
            ) from error

    def _open(self, url: str) -> "tuple[Path | None, ObjectStore]":
        """The folder, links resolved, if it is one; the store."""
        location = self.location
        if location.scheme == "file":
            folder = Path("/", *location.segments).resolve(strict=True)
            return folder, LocalStore(folder)
        plain = location.scheme == "http"
        if plain and location.host.rpartition(":")[0] not in _LOOPBACK and location.host not in _LOOPBACK:
            raise ValueError("http only on this machine, https elsewhere")
        return None, from_url(url, client_options={**_CLIENT, "allow_http": plain}, retry_config=_RETRY)

    async def get(self, location: Location) -> "GetResult":
        """Open the object, which lies under the root. Raises Rejected or Unavailable."""
        if self._folder is not None:
            path = await asyncio.to_thread(_inside, self.name, self._folder, location.segments)
        else:
            path = "/".join(location.segments[len(self.location.segments) :])
        try:
            with self.translated():
                answer = await self._store.get_async(path)
        except _Forbidden as error:
            # Is it this object, or does the store no longer know us? What it served before can tell.
            if self._served is not None and await self._answers(self._served):
                raise Rejected(
                    Reason.OBJECT_NOT_ALLOWED, "the store refuses this object, and serves others under the same root"
                ) from error
            raise
        self._served = path
        return answer

    async def _answers(self, path: str) -> bool:
        try:
            with self.translated():
                await self._store.head_async(path)
        except _Forbidden:
            return False
        except Rejected:
            return True  # it says what is there and what is not
        return True

    @contextmanager
    def translated(self) -> "Iterator[None]":
        """Turn obstore's errors into ours. Its messages name objects, so they go no further."""
        try:
            yield
        except FileNotFoundError as error:
            raise Rejected(Reason.OBJECT_MISSING, "there is no object at object_uri") from error
        except PermissionDeniedError as error:
            raise _Forbidden(self.name, "it refuses to be read: grant safelight the right to read there") from error
        except ValueError as error:  # of a path that it cannot express
            raise Rejected(Reason.OBJECT_NOT_ALLOWED, "object_uri cannot be a name in this object store") from error
        except (BaseError, OSError) as error:
            status = _STATUS.search(str(error))
            if status and int(status[1]) == _GONE:
                raise Rejected(Reason.OBJECT_MISSING, "the object at object_uri is gone") from error
            raise Unavailable(self.name, f"HTTP {status[1]}" if status else "no proper answer") from error


def _inside(root: str, folder: Path, segments: tuple[str, ...]) -> str:
    """The path below the folder of a readable file, links resolved. Raises Rejected, also for a link that leads out."""
    try:
        file = Path("/", *segments).resolve(strict=True)
        mode = file.stat().st_mode
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle, before Python 3.13
        if isinstance(error, PermissionError):
            raise Rejected(Reason.OBJECT_NOT_ALLOWED, _NO_RIGHT) from error
        if (isinstance(error, OSError) and error.errno not in _NOT_THERE) or not folder.is_dir():
            raise Unavailable(root, "the folder cannot be read") from error
        raise Rejected(Reason.OBJECT_MISSING, "there is no file at object_uri") from error
    if not file.is_relative_to(folder):
        raise Rejected(Reason.OBJECT_NOT_ALLOWED, "object_uri is a link that leads out of its object root")
    if not stat.S_ISREG(mode):
        raise Rejected(Reason.OBJECT_NOT_ALLOWED, "object_uri is no file")
    if not os.access(file, os.R_OK):
        raise Rejected(Reason.OBJECT_NOT_ALLOWED, _NO_RIGHT)
    if re.search(r"#\d+$", file.name):
        raise Rejected(
            Reason.OBJECT_NOT_ALLOWED, "a file's name must not end in # and digits: obstore keeps these for itself"
        )
    return str(file.relative_to(folder))
