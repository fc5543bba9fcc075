"""Blocking calls from coroutines, never abandoned."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def finish(threads: Executor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a blocking call in another thread: of a commit, say, which has happened or not whoever stops waiting.

    Cancelled meanwhile, it waits for the end all the same and returns the result; the caller is then cancelled at its next
    await, so that it can still note what was done.
    """
    done = threads.submit(call, *args, **kwargs)
    waiting = asyncio.wrap_future(done)
    cancelled = False
    while not waiting.done():
        try:
            await asyncio.wait([waiting])  # which, cancelled, leaves what it waits for alone
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and (task := asyncio.current_task()):
        task.cancel()
    return waiting.result()
