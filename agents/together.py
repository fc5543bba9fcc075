"""Several calls at once."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from agents.life import life

T = TypeVar("T")


async def together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Their results, in the order of the calls. The first that fails cancels the others, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
            for task in tasks:
                life().follow(task)
    except BaseExceptionGroup as failed:
        # A group says "unhandled errors in a TaskGroup"; who reads the worker's last words needs the error itself.
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]
