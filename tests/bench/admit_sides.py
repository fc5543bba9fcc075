"""The two processes that tests/bench/admit.py compares: `python -m tests.bench.admit_sides ours|bare ARGUMENTS_JSON`.

Each prints one line of JSON: seconds and CPU seconds (user and system, of the whole process, by getrusage) between the first
record in hand and the last commit.
"""

import json
import os
import re
import resource
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from agents.batch import Agent, Batch, Guarded, Result, State
from agents.measure import Measure
from schemas.topics import ADMITTED, EVENTS
from streams.settings import Settings
from streams.step import Step
from streams.topology import FLOWS, Flow
from streams.worker import run

PLAIN = {
    "partitioner": "murmur2_random",
    "compression.type": "lz4",
    "linger.ms": 5,
    "queue.buffering.max.messages": 1_000_000,
}
"""How the bare loop produces."""


class Instant(NamedTuple):
    """Seconds, of which only differences mean something."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Instant":
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(time.perf_counter(), used.ru_utime + used.ru_stime)


def cpu_by_thread() -> Counter[str]:
    """CPU seconds of this process's threads so far, by what they are: a Python thread's name, or the library's (Linux)."""
    python = {thread.native_id: thread.name for thread in threading.enumerate()}
    seconds: Counter[str] = Counter()
    for task in Path("/proc/self/task").iterdir():
        try:
            name, _, numbers = (task / "stat").read_text().partition(" (")[2].rpartition(") ")
        except OSError:
            continue  # it has just ended
        user, system = numbers.split()[11:13]
        kind = re.sub(r"[\d_-]+$", "", python.get(int(task.name), name))
        seconds[kind] += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return seconds


class Span:
    """From the first record in hand to the last commit, whichever that turns out to be."""

    def __init__(self) -> None:
        self._begin: Instant | None = None
        self._end: Instant | None = None
        self._threads: Counter[str] = Counter()

    def begun(self) -> None:
        if self._begin is None:
            self._threads = cpu_by_thread()
            self._begin = Instant.now()

    def committed(self) -> None:
        self._end = Instant.now()

    def report(self, **more: object) -> None:
        """Print the figures, while all threads are there."""
        assert self._begin, "not one record was read"
        assert self._end, "nothing was committed"
        figures = {
            "seconds": self._end.wall - self._begin.wall,
            "cpu_seconds": self._end.cpu - self._begin.cpu,
            "cpu_by_thread": dict((cpu_by_thread() - self._threads).most_common()),
        }
        print(json.dumps(figures | more), flush=True)


class Steps:
    """CPU seconds that a task's steps take in the threads that do them, from boundary to boundary; what the agent takes in the loop."""

    _TO = {  # noqa: RUF012 (read only)
        Step.PUBLISHED: "hand outputs and changes to librdkafka",
        Step.POSITIONED: "send the position",
        Step.COMMITTED: "commit",
        Step.APPLIED: "write the changes to RocksDB",
    }

    def __init__(self) -> None:
        self.cpu: Counter[str] = Counter()
        self._since = threading.local()

    def reached(self, step: Step) -> None:
        now = time.thread_time()
        if step in self._TO:
            self.cpu[self._TO[step]] += now - self._since.cpu
        self._since.cpu = now

    def watching(self, flow: Flow) -> Flow:
        """The flow, its agent timed: it never waits, so that all that its thread does meanwhile is its own."""

        @asynccontextmanager
        async def opened(settings: Settings, measure: Measure) -> AsyncIterator[Guarded]:
            async with flow.open(settings, measure) as work:
                yield Guarded(self._timed(work.agent), work.culprit)

        return replace(flow, open=opened)

    def _timed(self, agent: Agent) -> Agent:
        async def timed(batch: Batch, state: State) -> Result:
            began = time.thread_time()
            result = await agent(batch, state)
            self.cpu["decode, check, look up, decide, write the admitted (the agent)"] += time.thread_time() - began
            return result

        return timed


def ours(settings: Settings) -> NoReturn:
    """`safelight worker admit`, until SIGTERM, with a watch on the boundaries of its batches."""
    span, steps = Span(), Steps()
    at: dict[Step, Callable[[], None]] = {
        Step.READ: span.begun,
        Step.APPLIED: span.committed,
        # The last that is heard of a worker: it ends its process itself.
        Step.STOPPING: lambda: span.report(cpu_by_step=dict(steps.cpu)),
    }

    def reached(step: Step) -> None:
        steps.reached(step)
        if call := at.get(step):
            call()

    run("admit", settings, flows={"admit": steps.watching(FLOWS["admit"])}, reached=reached)


def bare(settings: Settings, group: str, events: int) -> int:
    """A plain loop of confluent-kafka and fastavro over as many events, then the end."""
    import fastavro
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

    from schemas import registry

    schemas, ids = registry.schemas_by_id(), registry.current_ids()
    header = struct.Struct(">bI")
    admitted = schemas[ids["PhotoAdmitted"]]
    prefix = header.pack(0, ids["PhotoAdmitted"])
    sink = settings.topic(ADMITTED)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.brokers,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    producer = Producer({"bootstrap.servers": settings.brokers, **PLAIN})
    consumer.subscribe([settings.topic(EVENTS)])
    span, read = Span(), 0
    while read < events:
        messages = consumer.consume(settings.batch_records, 1.0)
        if not messages:
            continue
        span.begun()
        now = datetime.now(UTC)
        for message in messages:
            if error := message.error():
                raise KafkaException(error)
            value: bytes = message.value()
            _, number = header.unpack_from(value)
            body = BytesIO(value)
            body.seek(header.size)
            photo: Any = fastavro.schemaless_reader(body, schemas[number], None)
            photo["root"] = {
                "generation": settings.generation,
                "partition": message.partition(),
                "offset": message.offset(),
            }
            photo["attempt"] = photo["fill"] = 0
            photo["admitted_at"] = now
            out = BytesIO()
            out.write(prefix)
            fastavro.schemaless_writer(out, admitted, photo)
            producer.produce(sink, out.getvalue(), photo["content_sha256"])
        producer.poll(0)
        consumer.commit(asynchronous=True)
        read += len(messages)
    producer.flush()
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._NO_OFFSET:  # there already
            raise
    span.committed()
    span.report(read=read)
    consumer.close()
    return 0


if __name__ == "__main__":
    side, arguments = sys.argv[1], json.loads(sys.argv[2])
    own = Settings(**arguments.pop("settings"))
    sys.exit(ours(own) if side == "ours" else bare(own, **arguments))
