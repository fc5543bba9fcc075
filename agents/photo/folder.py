"""file roots: a folder on this machine, read through obstore once every link is resolved."""

import asyncio
import errno
import os
import re
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from obstore.store import LocalStore

from agents.photo.location import Location
from agents.photo.store import Found, Patience
from agents.photo.translated import chunks, translated
from schemas.errors import Reason, Rejected, Unavailable

if TYPE_CHECKING:
    from obstore import GetResult

T = TypeVar("T")

_THREADS = 8
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
_Standing = tuple[int, int, int]
"""Of a folder: device, inode, time of its last change (its own name, or what is in it)."""

_NO_RIGHT = "safelight has no right to read the file at object_uri"


class Folder:
    """A folder and everything below it. See agents/photo/store.py."""

    def __init__(self, root: Location, *, name: str, patience: Patience) -> None:
        """Raises OSError when there is no such folder."""
        self._name = name
        self._silence = patience.silence.total_seconds()
        # Its own: threads that hang in a mount that does not answer are none that others need.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="folder")
        self._root = Path("/", *root.segments)
        self._folder = self._root.resolve(strict=True)
        self._store = LocalStore(self._folder)
        self._identity = _identity(self._folder.stat())

    @asynccontextmanager
    async def open(self, location: Location) -> AsyncIterator[Found]:
        """See Store."""
        standing, path = await self._in_time(self._in_thread(self._find, location.segments))
        try:
            with translated(self._name):
                answer = await self._in_time(self._store.get_async(path))
        except Rejected as why:
            await self._in_time(self._in_thread(self._confirm, standing, why))
            raise
        yield Found(answer.meta["size"], self._chunks(answer))

    async def close(self) -> None:
        """Wait for nobody who hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _chunks(self, answer: "GetResult") -> AsyncGenerator[memoryview, None]:
        async with aclosing(chunks(self._name, answer)) as stream:
            while (chunk := await self._in_time(anext(stream, None))) is not None:
                yield chunk

    def _in_thread(self, call: Callable[..., T], *args: Any) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args))

    async def _in_time(self, answer: Awaitable[T]) -> T:
        """Raises Unavailable when the folder, on the network perhaps, does not answer."""
        try:
            return await asyncio.wait_for(answer, self._silence)
        except TimeoutError as error:
            raise Unavailable(self._name, f"the folder does not answer within {self._silence:.0f} s") from error

    def _find(self, segments: tuple[str, ...]) -> tuple[_Standing, str]:
        """How the folder stands, and the file's path below it."""
        standing = self._stand()
        try:
            return standing, _inside(self._name, self._folder, segments)
        except Rejected as why:
            self._confirm(standing, why)
            raise

    def _stand(self) -> _Standing:
        """Raises Unavailable when the folder cannot be read."""
        try:
            folder = self._root.resolve(strict=True)
            status = folder.stat()
        except (OSError, RuntimeError) as error:
            raise Unavailable(self._name, "the folder cannot be read") from error
        if folder != self._folder or _identity(status) != self._identity:  # not mounted, say
            raise Unavailable(
                self._name, "it is another folder than when the worker started: if that is meant, start it again"
            )
        if not stat.S_ISDIR(status.st_mode) or not os.access(self._folder, os.R_OK | os.X_OK):
            raise Unavailable(self._name, "the folder cannot be read")
        return *_identity(status), status.st_ctime_ns

    def _confirm(self, standing: _Standing, why: Rejected) -> None:
        """Raises Unavailable when the folder is not as it was: it went away, or came back, while the file was looked for."""
        if self._stand() != standing:
            raise Unavailable(self._name, "the folder changed meanwhile") from why


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _inside(root: str, folder: Path, segments: tuple[str, ...]) -> str:
    """The path below the folder of a readable file, links resolved. Raises Rejected, also for a link that leads out."""
    try:
        file = Path("/", *segments).resolve(strict=True)
        mode = file.stat().st_mode
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle, before Python 3.13
        if isinstance(error, PermissionError):
            raise Rejected(Reason.OBJECT_NOT_ALLOWED, _NO_RIGHT) from error
        if isinstance(error, OSError) and error.errno not in _NOT_THERE:
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
