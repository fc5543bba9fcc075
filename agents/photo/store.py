"""What the stores behind object roots have in common: folder.py, bucket.py, web.py."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from agents.photo.location import Location
from schemas.errors import Unavailable

CHUNK_BYTES = 1 << 20
"""Most that is given at a time: it is hashed on the event loop, which takes about a millisecond."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a store on the network is waited for, in one attempt; agents/retry.py makes the next."""

    connect: timedelta = timedelta(seconds=5)
    silence: timedelta = timedelta(seconds=30)  # between two reads, so that a stalled connection is noticed
    whole: timedelta = timedelta(minutes=10)  # of a whole request; the 30 s of obstore cut big objects on slow lines


@dataclass(frozen=True, slots=True)
class Found:
    """An object that is open: the size that the store says it has, if it does, and its bytes.

    Its chunks raise Unavailable when the store does not go on.
    """

    size_bytes: int | None
    chunks: AsyncGenerator[memoryview | bytes, None]


class Refuses(Unavailable):
    """The store answers, and refuses this request: because of the object, or because of us."""


class Store(Protocol):
    """Where the objects of one root are."""

    def open(self, location: Location) -> AbstractAsyncContextManager[Found]:
        """The object, for the block. Raises Rejected (OBJECT_MISSING, OBJECT_NOT_ALLOWED), Refuses or Unavailable."""

    async def close(self) -> None:
        """Let go of connections."""
