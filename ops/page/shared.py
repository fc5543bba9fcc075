"""One answer for all who ask at nearly the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Shared(Generic[K, V]):
    """Loads a key at most once within `seconds`, however many ask: an answer, or an error, is everybody's.

    `keys` are few (one entry of memory each, kept for good), so nothing is ever thrown out.
    """

    def __init__(
        self, load: Callable[[K], Awaitable[V]], *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._load = load
        self._seconds = seconds
        self._clock = clock
        self._loads: dict[K, asyncio.Task[V]] = {}
        self._loaded_at: dict[K, float] = {}

    async def get(self, key: K) -> V:
        """What `load` returns or raises for the key; at most `seconds` old."""
        task = self._loads.get(key)
        if task is None or (task.done() and self._clock() - self._loaded_at[key] > self._seconds):
            task = self._loads[key] = asyncio.create_task(self._loading(key))
        # Whoever goes away while it loads must not take the answer from the others.
        return await asyncio.shield(task)

    async def _loading(self, key: K) -> V:
        try:
            return await self._load(key)
        finally:
            self._loaded_at[key] = self._clock()
