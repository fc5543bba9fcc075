import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from streams.threads import finish

pytestmark = pytest.mark.unit


@pytest.fixture
def threads():
    with ThreadPoolExecutor(1) as threads:
        yield threads


async def test_the_result_of_the_call_comes_back(threads):
    assert await finish(threads, divmod, 7, 2) == (3, 1)


async def test_what_the_call_raises_is_raised(threads):
    with pytest.raises(ZeroDivisionError):
        await finish(threads, divmod, 7, 0)


async def test_a_call_that_has_begun_is_waited_for_even_when_cancelled_and_its_result_can_be_noted(threads):
    begun, go_on = threading.Event(), threading.Event()
    noted, after = [], []

    def commit():
        begun.set()
        go_on.wait()
        return "committed"

    async def work():
        noted.append(await finish(threads, commit))
        await asyncio.sleep(0)
        after.append("not reached")

    task = asyncio.create_task(work())
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert noted == ["committed"]
    assert after == []
