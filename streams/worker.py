"""A worker process: one agent, until SIGTERM, Ctrl-C or an error.

On a signal it stops reading, lets what is under way end and commit, leaves its group, so that the others have its partitions at
once, and exits with 0 within half a session (streams/leaving.py). On an error it does the same, logs one line that says what
and where, and exits with 1: whoever supervises it starts it again, and what was not committed is read again. When it is
ready, a file says so (streams/app.py).
"""

import asyncio
import signal
from collections.abc import Mapping
from typing import NoReturn

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from schemas.errors import SafelightError
from streams.app import AgentApp
from streams.blame import where
from streams.logs import log_to_stderr
from streams.settings import Settings
from streams.step import Reached, unwatched
from streams.topology import FLOWS, Flow


def run(agent: str, settings: Settings, *, flows: Mapping[str, Flow] = FLOWS, reached: Reached = unwatched) -> NoReturn:
    """Run one agent, and end the process with its exit code. `reached` is called at every boundary (streams/step.py)."""
    log_to_stderr()
    asyncio.run(_run(AgentApp, flows[agent], settings, reached))


async def _run(make: type[AgentApp], flow: Flow, settings: Settings, reached: Reached) -> NoReturn:
    app = make(flow, settings, reached=reached)  # here, since Faust's services belong to the loop that runs
    deadline = app.deadline
    signalled = asyncio.Event()

    def told() -> None:
        deadline.begin()
        signalled.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told)
    asked = asyncio.create_task(signalled.wait())
    life = asyncio.create_task(_live(app))
    await asyncio.wait([asked, life], return_when=asyncio.FIRST_COMPLETED)
    deadline.begin()
    ending = asyncio.create_task(_end(app, life))
    _, late = await asyncio.wait([ending], timeout=deadline.in_order_seconds)
    if late:
        await app.leave(deadline.last_seconds)
        deadline.over(in_one_line(app.crash_reason) if app.crash_reason else "")
    error = ending.result()
    deadline.ends(in_one_line(error) if error else "")
    # The interpreter's own end would wait for threads of which nobody expects anything any more, and destroy one Kafka client
    # after another, past every deadline. All that counts is closed.
    deadline.over("")


async def _end(app: AgentApp, life: asyncio.Task[None]) -> BaseException | None:
    """Stop it, and what it died of."""
    if app.opened:
        await app.stop()
    life.cancel()
    (end,) = await asyncio.gather(life, return_exceptions=True)
    return end if isinstance(end, Exception) else app.crash_reason


async def _live(app: AgentApp) -> None:
    await app.start()
    await app.wait_until_stopped()  # or crashed


def in_one_line(error: BaseException) -> str:
    """What, and where in our code; in its own words only when those are of an error that never quotes people's data."""
    told = isinstance(error, SafelightError | KafkaException | KafkaError | OSError)
    what = str(error) if told else type(error).__name__
    if isinstance(error, SafelightError):
        return what
    at = where(error)
    return f"{what}{at.removeprefix(type(error).__name__)}"
