"""SIGTERM at random moments: every worker exits within half a session, and its group knows at once.

    python -m tests.chaos.leaving --count 200 --seed 1 --json leaving.json

Real servers, real workers. A moment is what the worker is at when it is told to leave; where it is a named boundary, the worker
sends itself the signal right there, and may stop (SIGSTOP) the server that it needs next. Half of a session is counted
from the signal to the end of the process; then its group is asked who is a member. Only where the broker itself stands still
nobody can be told: there it is measured how long after it goes on the member is forgotten.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException, Producer

from ops.prepare import prepare_database
from ops.stack.clickhouse import ClickHouse
from ops.stack.kafka import Kafka
from ops.stack.triton import Triton
from schemas import codec
from schemas.errors import Unavailable
from schemas.events import Root
from schemas.topics import ADMIT_CHANGELOG, ADMITTED, EVENTS
from streams import admin, provision
from streams.producer import PhotoProducer
from streams.settings import Settings
from streams.step import Step
from tests.integration.engine_reading import records
from tests.integration.engine_workers import Worker
from tests.integration.test_enrich_triton import PHOTOS, SAMPLES, described
from tests.support.builders import uploaded
from tests.support.eventually import eventually

SESSION_SECONDS = 10
_LONGEST_SECONDS = 60  # until a worker that should have ended long ago is taken for one that never does


@dataclass
class Left:
    """One leave: from the signal to the process's end, and whether the group had no such member any more right then.

    `knew` is None where the broker stood still; `forgotten_seconds`: from when it went on until the member was gone.
    """

    moment: str
    seconds: float
    code: int | None
    knew: bool | None
    forgotten_seconds: float | None = None
    said: str = ""

    @property
    def well(self):
        return self.seconds < SESSION_SECONDS / 2 and self.knew is not False


class Scene:
    """Servers, topics with something on them, and workers to be told to leave."""

    def __init__(self, folder, kafka, clickhouse, triton, rng):
        self.kafka, self.clickhouse, self.triton, self.rng = kafka, clickhouse, triton, rng
        self.folder = folder
        self.settings = Settings(
            brokers=kafka.bootstrap, namespace=f"t{rng.randrange(1 << 32):08x}", data=folder / "data", partitions=8
        )
        self._workers = []
        self._events = 0
        provision.ensure(self.settings)
        if clickhouse:
            self.settings = self.settings.model_copy(update={"clickhouse_url": clickhouse.url})
            prepare_database(self.settings)
        self.feed(3000)
        first = self.start()
        first.wait_ready(within=300)  # the broker makes its own topics

        def remembered():
            assert len(list(records(self.settings, ADMIT_CHANGELOG))) >= 3000

        eventually(remembered, within=_LONGEST_SECONDS, every=0.5)
        self.leave(first, "idle")

    def start(self, agent="dedupe", *, folder="data", **options):
        # One that had to end at once has left it behind.
        (self.folder / folder / "run" / f"{agent}.ready").unlink(missing_ok=True)
        self._workers.append(
            Worker(self.settings, agent, session=SESSION_SECONDS, data=str(self.folder / folder), **options)
        )
        return self._workers[-1]

    def feed(self, count):
        """Photos that were uploaded."""
        with PhotoProducer(self.settings.brokers, topic=self.settings.topic(EVENTS)) as producer:
            for _ in range(count):
                self._events += 1
                producer.publish(uploaded(event_id=f"event-{self._events}", owner_id=f"owner-{self._events % 50}"))

    def feed_admitted(self, count):
        """Photos that were admitted, and can be read."""
        producer = Producer({"bootstrap.servers": self.settings.brokers})
        for number in range(count):
            event = described(SAMPLES / PHOTOS[number % len(PHOTOS)], root=Root(1, 0, number))
            producer.produce(self.settings.topic(ADMITTED), codec.encode(event), str(number).encode())
        assert producer.flush(30) == 0

    def members(self, agent):
        """Of the agent's group. Raises AssertionError when the broker does not answer: it may be too busy, or find its feet again."""
        try:
            return admin.members(self.settings, agent)
        except Unavailable as why:
            raise AssertionError(f"the broker does not say who is in {self.settings.group(agent)}: {why}") from why

    def joined(self, count):
        """Wait until the group of dedupe has so many members."""

        def there():
            assert self.members("dedupe") == count

        eventually(there, within=_LONGEST_SECONDS, every=0.1)

    def leave(self, worker, moment, *, agent="dedupe", others=0, broker_stands=False):
        """Tell a worker to leave, and see how it does; if it has told itself, only see."""
        told = re.search(r"SIGTERM at ([0-9.]+)", worker.log.read_text())
        began = float(told[1]) if told else time.monotonic()
        if not told:
            worker.signal(signal.SIGTERM)
        try:
            code = worker.wait(_LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            code = None  # it never ends
        seconds = time.monotonic() - began
        left = Left(moment, round(seconds, 3), code, None, said=self._said(worker))
        if not broker_stands:
            asked = time.monotonic()
            left.knew = self.members(agent) <= others
            assert time.monotonic() - asked < SESSION_SECONDS / 2, "the broker answered too late to tell"
        return left

    def at(self, step, moment, *, agent="dedupe", number=1, stopping=None, folder="data", feed=300):
        """A worker that tells itself to leave at a boundary, when it may have stopped a server."""
        stopped = stopping.pid if stopping else 0
        worker = self.start(agent, folder=folder, step=step, number=number, how="SIGTERM", stopping=stopped)
        if feed:
            self.feed(feed) if agent == "dedupe" else self.feed_admitted(feed)
        try:
            self._until_told(worker)
            left = self.leave(worker, moment, agent=agent, broker_stands=stopping is self.kafka)
        finally:
            if stopping:
                os.kill(stopped, signal.SIGCONT)
        if stopping is self.kafka:
            left.forgotten_seconds = self.forgotten(agent)
        return left

    def _until_told(self, worker):
        def told():
            assert "SIGTERM at" in worker.log.read_text() or worker.ended

        eventually(told, within=_LONGEST_SECONDS, every=0.05)
        assert "SIGTERM at" in worker.log.read_text(), f"it never came to that: {worker.log.read_text()}"

    def forgotten(self, agent):
        """Seconds until the group has no member."""
        began = time.monotonic()

        def nobody():
            assert self.members(agent) == 0

        eventually(nobody, within=_LONGEST_SECONDS, every=0.2)
        return round(time.monotonic() - began, 1)

    @staticmethod
    def _said(worker):
        lines = [line for line in worker.log.read_text().splitlines() if " ERROR " in line]
        return lines[-1].split(" ERROR ", 1)[1] if lines else ""

    def close(self):
        for worker in self._workers:
            worker.kill()


# Moments: each makes a worker leave, or several, and tells how they did.


def start_up(scene):
    worker = scene.start()
    time.sleep(scene.rng.uniform(0, 4))
    yield scene.leave(worker, "start-up")


def idle(scene):
    worker = scene.start()
    worker.wait_ready()
    yield scene.leave(worker, "idle")


def busy(scene):
    worker = scene.start()
    worker.wait_ready()
    scene.feed(1000)
    time.sleep(scene.rng.uniform(0, 1))
    yield scene.leave(worker, "busy")


def rebalance(scene):
    one = scene.start()
    one.wait_ready()
    other = scene.start(folder="other")
    if scene.rng.random() < 0.7:
        scene.joined(2)
    time.sleep(scene.rng.uniform(0, 2))
    yield scene.leave(one, "rebalance: one joins", others=1)
    yield scene.leave(other, "rebalance: one has left")


def boundary(scene):
    step = scene.rng.choice([Step.CLAIMING, Step.REBALANCING, *OF_A_BATCH])
    yield scene.at(step, f"boundary: {step}", number=1)


OF_A_BATCH = (Step.READ, Step.WORKED, Step.BEGUN, Step.PUBLISHED, Step.POSITIONED, Step.COMMITTED, Step.APPLIED)


def restore(scene):
    folder = f"empty-{scene.rng.randrange(1 << 32)}"
    yield scene.at(Step.RESTORING, "restore", folder=folder, number=scene.rng.randint(1, 4), feed=0)


def insert(scene):
    step = scene.rng.choice([Step.PENDING, Step.INSERTING, Step.INSERTED])
    yield scene.at(step, f"insert: {step}", agent="outcomes")


def clickhouse_stopped(scene):
    yield scene.at(Step.INSERTING, "ClickHouse stopped in an insert", agent="outcomes", stopping=scene.clickhouse)


def triton_stopped(scene):
    worker = scene.start(
        "enrich",
        object_roots=SAMPLES.as_uri(),
        models="scene_label",
        triton=scene.triton.grpc,
        enrich_batch_records=8,
    )
    worker.wait_ready()
    os.kill(scene.triton.pid, signal.SIGSTOP)
    try:
        scene.feed_admitted(40)
        time.sleep(scene.rng.uniform(0, 3))
        yield scene.leave(worker, "Triton stopped", agent="enrich")
    finally:
        os.kill(scene.triton.pid, signal.SIGCONT)


def broker_stopped(scene):
    step = scene.rng.choice([Step.CLAIMING, Step.READ, Step.POSITIONED, Step.PUBLISHED])
    yield scene.at(step, f"broker stopped: {step}", stopping=scene.kafka)


def broker_stopped_at_some_time(scene):
    worker = scene.start()
    if scene.rng.random() < 0.7:
        worker.wait_ready()
        scene.feed(500)
    time.sleep(scene.rng.uniform(0, 2))
    os.kill(scene.kafka.pid, signal.SIGSTOP)
    try:
        time.sleep(scene.rng.uniform(0, 2))
        left = scene.leave(worker, "broker stopped at some time", broker_stands=True)
    finally:
        os.kill(scene.kafka.pid, signal.SIGCONT)
    left.forgotten_seconds = scene.forgotten("dedupe")
    yield left


MOMENTS = (
    start_up,
    idle,
    busy,
    rebalance,
    boundary,
    restore,
    insert,
    clickhouse_stopped,
    triton_stopped,
    broker_stopped,
    broker_stopped_at_some_time,
)


@contextmanager
def serving(server):
    server.start()
    try:
        yield server
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--moments", nargs="*", help="names of functions of this module; by default all")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    lefts, spoiled = [], []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [
            stack.enter_context(serving(server))
            for server in (
                Kafka(folder / "kafka"),
                ClickHouse(folder / "clickhouse", port=0),
                Triton(folder / "triton", models=["scene_label"]),
            )
        ]
        scene = Scene(folder, *servers, random.Random(asked.seed))
        stack.callback(scene.close)
        while len(lefts) < asked.count:
            moments = [moment for moment in MOMENTS if not asked.moments or moment.__name__ in asked.moments]
            for moment in scene.rng.sample(moments, len(moments)):
                try:
                    for left in moment(scene):
                        lefts.append(left)
                        say(f"{len(lefts)} {left}{'' if left.well else '   <<<'}")
                except (AssertionError, KafkaException) as why:
                    scene.close()  # no leave: the moment did not come about
                    spoiled.append(f"{moment.__name__}: {why}")
                    say(spoiled[-1])
            report = summary(lefts, asked.seed) | {"spoiled": spoiled}
            if asked.json:
                asked.json.write_text(json.dumps(report, indent=1) + "\n")
    say(json.dumps(report, indent=1))
    return 0 if not report["late"] and not report["unknown"] else 1


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def summary(lefts, seed):
    """What the report says."""
    by_moment = defaultdict(list)
    for left in lefts:
        by_moment[left.moment].append(left)
    return {
        "seed": seed,
        "leaves": len(lefts),
        "session_seconds": SESSION_SECONDS,
        "late": sum(left.seconds >= SESSION_SECONDS / 2 for left in lefts),
        "unknown": sum(left.knew is False for left in lefts),
        "moments": {
            moment: {
                "leaves": len(some),
                "median_seconds": sorted(left.seconds for left in some)[len(some) // 2],
                "most_seconds": max(left.seconds for left in some),
                "group_knew": sum(left.knew is True for left in some),
                "forgotten_after_seconds": max((left.forgotten_seconds or 0 for left in some), default=0) or None,
                "exit_codes": sorted({str(left.code) for left in some}),
            }
            for moment, some in sorted(by_moment.items())
        },
    }


if __name__ == "__main__":
    sys.exit(main())
