"""A bound on what is held in memory at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agents.life import Life, life


class Room:
    """So many bytes, given out first come, first served: a big object waits its turn, and is not passed for ever."""

    def __init__(self, size_bytes: int) -> None:
        self._size = self._free = size_bytes
        self._turn = asyncio.Lock()
        self._returned = asyncio.Event()
        self._life = Life()

    @asynccontextmanager
    async def take(self, wanted_bytes: int) -> AsyncIterator[None]:
        """Have the bytes until the block ends; who wants more than there is gets all of it."""
        wanted = min(wanted_bytes, self._size)
        with life().behind(self._life):
            async with self._turn:
                while self._free < wanted:
                    self._returned.clear()
                    await self._returned.wait()
                self._free -= wanted
        try:
            yield
        finally:
            self._free += wanted
            self._returned.set()
            self._life.sign()
