"""Agents to test the engine with, and a worker of them: `python engine_flows.py AGENT SETTINGS_JSON [STEP NUMBER [SIGNAL PID]]`.

With a step and a number it sends itself a signal, SIGKILL by default, when the step is reached for that time; with a process id
it stops that process, if it is not 0, first (SIGSTOP), a server that the step needs, say. It logs when it does so.
"""

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

from agents import culprit
from agents.batch import Batch, Guarded, Output, Result, State
from agents.retry import Retry
from agents.together import together
from schemas.errors import Unavailable
from schemas.events import PhotoAdmitted, PhotoUploaded, Root
from schemas.tables import PHOTO_OUTCOMES, Rows
from schemas.topics import ADMIT_CHANGELOG, ADMITTED, ENRICHED, EVENTS
from streams import topology
from streams.pending import Sink
from streams.reader import BatchThread
from streams.settings import Settings
from streams.step import Step
from streams.topology import Flow
from streams.worker import run

CULPRIT = "culprit"
"""The id of the event on which the faulty agents fail."""


async def dedupe(batch: Batch, state: State) -> Result:
    """Admits the first event of each event_id; remembers its offset."""
    deliveries = list(batch.deliveries(PhotoUploaded))
    keys = [delivery.event.event_id.encode() for delivery in deliveries]
    result = Result()
    for delivery, key, known in zip(deliveries, keys, state.get_many(keys), strict=True):
        if known is None and key not in result.changes:
            root = Root(1, delivery.partition, delivery.offset)
            upload = {name: value for name, value in vars(delivery.event).items() if name != "redrive"}
            admitted = PhotoAdmitted(**upload, root=root, admitted_at=delivery.appended_at)
            result.outputs.append(Output(ADMITTED, admitted.content_sha256, admitted))
            result.changes[key] = str(delivery.offset).encode()
    return result


async def faulty(batch: Batch, state: State) -> Result:
    """As dedupe, but for one event."""
    _fail_on_culprit(delivery.event for delivery in batch.deliveries(PhotoUploaded))
    return await dedupe(batch, state)


def _fail_on_culprit(events) -> None:
    for event in events:
        if event.event_id == CULPRIT:
            raise KeyError(event.owner_id)


def outcomes(batch: Batch, reason: str = "") -> list[Rows]:
    """A row of photo_outcomes for every admitted photo."""
    values = []
    for delivery in batch.deliveries(PhotoAdmitted):
        event = delivery.event
        row = {
            **{f"root_{name}": value for name, value in asdict(event.root).items()},
            **{
                name: getattr(event, name)
                for name in ("attempt", "fill", "source", "media_type", "size_bytes", "uploaded_at")
            },
            "stamp": "first",
            "outcome": "rejected" if reason else "enriched",
            "reason": reason,
            "at": event.admitted_at,
        }
        values.append(tuple(row[column] for column in PHOTO_OUTCOMES.columns))
    return [Rows(PHOTO_OUTCOMES, values)]


def faulty_outcomes(batch: Batch) -> list[Rows]:
    """As outcomes, but for one event."""
    _fail_on_culprit(delivery.event for delivery in batch.deliveries(PhotoAdmitted))
    return outcomes(batch)


@asynccontextmanager
async def open_dedupe(settings, measure):
    yield dedupe


@asynccontextmanager
async def open_faulty(settings, measure):
    rejecting = partial(
        culprit.of_admit,
        generation=1,
        partitions=settings.partitions,
        version="0",
        clock=lambda: datetime.now(UTC),
        measure=measure,
    )
    yield Guarded(faulty, rejecting)


async def hanging(batch: Batch, state: State) -> Result:
    """Waits for what never comes, as one of several."""
    await together([asyncio.sleep(0), asyncio.Event().wait()])
    return Result()


async def looping(batch: Batch, state: State) -> Result:
    """Never gives the event loop back."""
    while batch:
        time.sleep(0.01)  # noqa: ASYNC251 (that is what is wrong with it)
    return Result()


async def broken(batch: Batch, state: State) -> Result:
    """Raises an error that quotes an owner."""
    return Result(
        changes={delivery.event.owner_id: {}[delivery.event.owner_id] for delivery in batch.deliveries(PhotoUploaded)}
    )


@asynccontextmanager
async def open_hanging(settings, measure, agent=hanging):
    yield agent


async def reading(batch: Batch, state: State) -> Result:
    """Comes to nothing."""
    return Result()


@asynccontextmanager
async def open_deaf(settings, measure):
    """As reading, but its consumer takes nothing."""

    async def nothing(thread, *args, **kwargs):
        await asyncio.sleep(0.1)
        return {}

    BatchThread._fetch_records = nothing
    yield reading


@asynccontextmanager
async def open_waiting(settings, measure):
    """As dedupe, but waits for a dependency: the file `up` beside the data folder."""
    retry = Retry("the file", first=timedelta(seconds=1))

    async def ask():
        if not (settings.data.parent / "up").exists():
            raise Unavailable("the file", "not there")

    async def waiting(batch, state):
        await retry(ask)
        return await dedupe(batch, state)

    yield waiting


@asynccontextmanager
async def open_silent(settings, measure):
    """As waiting, and aiokafka is not told that all is well."""

    async def nothing(thread):
        pass

    BatchThread.seen = nothing
    async with open_waiting(settings, measure) as agent:
        yield agent


@asynccontextmanager
async def open_broken(settings, measure):
    yield broken


@asynccontextmanager
async def open_outcomes(settings, measure, rows=outcomes, rejection=None):
    from sinks.clickhouse.writer import ClickHouseWriter

    retry = Retry("clickhouse")
    opening = partial(
        ClickHouseWriter.open,
        url=settings.clickhouse_url,
        user=settings.clickhouse_user,
        password=settings.clickhouse_password.get_secret_value(),
        database=settings.database,
    )
    writer = await retry(opening)
    try:
        yield Sink(rows, writer, retry, rejection)
    finally:
        await writer.close()


open_faulty_outcomes = partial(
    open_outcomes, rows=faulty_outcomes, rejection=lambda batch, detail, at: outcomes(batch, "internal_error")
)

FLOWS = {
    "dedupe": Flow("dedupe", (EVENTS,), open_dedupe, (ADMITTED,), ADMIT_CHANGELOG),
    "hanging": Flow("hanging", (EVENTS,), open_hanging),
    "looping": Flow("looping", (EVENTS,), partial(open_hanging, agent=looping)),
    "reading": Flow("reading", (ADMITTED,), partial(open_hanging, agent=reading)),
    "deaf": Flow("deaf", (EVENTS,), open_deaf),
    "waiting": Flow("waiting", (EVENTS,), open_waiting, (ADMITTED,), ADMIT_CHANGELOG),
    "silent": Flow("silent", (EVENTS,), open_silent, (ADMITTED,), ADMIT_CHANGELOG),
    "broken": Flow("broken", (EVENTS,), open_broken),
    "faulty": Flow("faulty", (EVENTS,), open_faulty, (ADMITTED, ENRICHED), ADMIT_CHANGELOG),
    "faulty_outcomes": Flow("faulty_outcomes", (ADMITTED,), open_faulty_outcomes),
    "enrich": topology.FLOWS["enrich"],
    "outcomes": Flow("outcomes", (ADMITTED,), open_outcomes),
}


def killer(step: Step, number: int, how: signal.Signals, stopped: int):
    reached = count(1)

    def kill(at: Step) -> None:
        if at is step and next(reached) == number:
            if stopped:
                os.kill(stopped, signal.SIGSTOP)
            sys.stderr.write(f"{how.name} at {time.monotonic()}\n")
            os.kill(os.getpid(), how)

    return kill


def main(agent: str, settings: str, step: str = "", number: str = "0", *signalled: str) -> int:
    how, stopped = signalled or ("SIGKILL", "0")
    watch = {"reached": killer(Step(step), int(number), signal.Signals[how], int(stopped))} if step else {}
    return run(agent, Settings(**json.loads(settings)), flows=FLOWS, **watch)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
