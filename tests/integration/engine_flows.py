"""Agents to test the engine with, and a worker of them: `python engine_flows.py AGENT SETTINGS_JSON [STEP NUMBER]`.

With a step and a number it kills itself, as SIGKILL does, when the step is reached for that time.
"""

import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from itertools import count

from agents.batch import Batch, Output, Result, State
from agents.retry import Retry
from schemas.events import PhotoAdmitted, PhotoUploaded, Root
from schemas.tables import PHOTO_OUTCOMES, Rows
from schemas.topics import ADMIT_CHANGELOG, ADMITTED, EVENTS
from streams.pending import Sink
from streams.settings import Settings
from streams.step import Step
from streams.topology import Flow
from streams.worker import run


async def dedupe(batch: Batch, state: State) -> Result:
    """Admits the first event of each event_id; remembers its offset."""
    deliveries = list(batch.deliveries(PhotoUploaded))
    keys = [delivery.event.event_id.encode() for delivery in deliveries]
    result = Result()
    for delivery, key, known in zip(deliveries, keys, state.get_many(keys), strict=True):
        if known is None and key not in result.changes:
            root = Root(1, delivery.partition, delivery.offset)
            admitted = PhotoAdmitted(**vars(delivery.event), root=root, admitted_at=delivery.appended_at)
            result.outputs.append(Output(ADMITTED, admitted.content_sha256, admitted))
            result.changes[key] = str(delivery.offset).encode()
    return result


def outcomes(batch: Batch) -> list[Rows]:
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
            "outcome": "enriched",
            "reason": "",
            "at": event.admitted_at,
        }
        values.append(tuple(row[column] for column in PHOTO_OUTCOMES.columns))
    return [Rows(PHOTO_OUTCOMES, values)]


@asynccontextmanager
async def open_dedupe(settings, measure):
    yield dedupe


async def broken(batch: Batch, state: State) -> Result:
    """Raises an error that quotes an owner."""
    return Result(
        changes={delivery.event.owner_id: {}[delivery.event.owner_id] for delivery in batch.deliveries(PhotoUploaded)}
    )


@asynccontextmanager
async def open_broken(settings, measure):
    yield broken


@asynccontextmanager
async def open_outcomes(settings, measure):
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
        yield Sink(outcomes, writer, retry)
    finally:
        await writer.close()


FLOWS = {
    "dedupe": Flow("dedupe", (EVENTS,), open_dedupe, (ADMITTED,), ADMIT_CHANGELOG),
    "broken": Flow("broken", (EVENTS,), open_broken),
    "outcomes": Flow("outcomes", (ADMITTED,), open_outcomes),
}


def killer(step: Step, number: int):
    reached = count(1)

    def kill(at: Step) -> None:
        if at is step and next(reached) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def main(agent: str, settings: str, step: str = "", number: str = "0") -> int:
    watch = {"reached": killer(Step(step), int(number))} if step else {}
    return run(agent, Settings(**json.loads(settings)), flows=FLOWS, **watch)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
