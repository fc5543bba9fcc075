"""Steady uploads through the admit agent, as worker processes on folders of their own: what came of each, and how long it took.

The feeder keeps its own list of what it has published; nothing is accounted for by what the topics say of themselves.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from schemas import codec
from schemas.events import PhotoAdmitted, PhotoUploaded
from schemas.topics import ADMIT_CHANGELOG, ADMITTED, DEAD_LETTER, ENRICHED, EVENTS
from streams.producer import PhotoProducer
from tests.integration.engine_reading import records
from tests.integration.engine_workers import lag
from tests.support.builders import uploaded
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
REPEATS = 0.1
_OWNERS = 2000
_TICK_SECONDS = 0.02


class Feeder(threading.Thread):
    """Publishes so many events a second until it is told to stop, one in ten a repeat of an earlier one.

    `sent` counts what was published of each event_id. An error of the producer is raised by `finish`.
    """

    def __init__(self, settings, rate, *, seed=1):
        super().__init__(name="feeder")
        self.sent = Counter()
        self._settings = settings
        self._rate = rate
        self._random = random.Random(seed)
        self._seed = seed
        self._enough = threading.Event()
        self._error = None

    def run(self):
        try:
            with PhotoProducer(self._settings.brokers, topic=self._settings.topic(EVENTS)) as producer:
                began, number = time.monotonic(), 0
                while not self._enough.wait(_TICK_SECONDS):
                    due = int((time.monotonic() - began) * self._rate)
                    for each in range(number, due):
                        producer.publish(self._event(each))
                    number = max(number, due)
        except Exception as error:  # noqa: BLE001 (raised again by who waits for us)
            self._error = error

    def _event(self, number):
        known = number and self._random.random() < REPEATS
        each = self._random.randrange(number) if known else number
        name = f"{self._seed}-{each}"
        self.sent[name] += 1
        content = sha256(name.encode()).digest()
        return uploaded(event_id=name, owner_id=f"owner-{each % _OWNERS}", content_sha256=content)

    def finish(self):
        """Stop, when the broker has everything."""
        self._enough.set()
        self.join()
        if self._error:
            raise self._error


class Worker:
    """`safelight worker admit` on a folder of its own; it can be started again there."""

    def __init__(self, settings, folder):
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self._ready = folder / "run" / "admit.ready"
        self._process = None
        self._environment = {
            "SAFELIGHT_BROKERS": settings.brokers,
            "SAFELIGHT_NAMESPACE": settings.namespace,
            "SAFELIGHT_PARTITIONS": str(settings.partitions),
            "SAFELIGHT_SESSION": f"PT{settings.session.total_seconds():g}S",
            "SAFELIGHT_HASH_KEY": settings.hash_key.get_secret_value(),
            "SAFELIGHT_DATA": str(folder),
        }

    @property
    def running(self):
        return self._process is not None and self._process.poll() is None

    @property
    def ready(self):
        return self.running and self._ready.exists()

    @property
    def exit_code(self):
        return self._process.returncode

    @property
    def last_line(self):
        """Of its log."""
        return (self.log.read_text().splitlines() or [""])[-1]

    def start(self):
        self._ready.unlink(missing_ok=True)  # of one that was killed
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SAFELIGHT_")}
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ops", "worker", "admit"],
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=environment | self._environment,
            )

    def wait_ready(self, within=60):
        def ready():
            assert self.running, f"{self.folder.name} ended: {self.log.read_text()[-600:]}"
            assert self.ready, f"{self.folder.name} is not ready: {self.log.read_text()[-600:]}"

        eventually(ready, within=within)

    def stop(self, within=60):
        """SIGTERM; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(within)

    def kill(self):
        """SIGKILL, if it runs."""
        if self.running:
            self._process.kill()
        if self._process:
            self._process.wait()


@dataclass(frozen=True, slots=True)
class Passage:
    """One admitted event: its partition, and when the broker appended it and what became of it, in seconds since 1970.

    An output becomes visible with its transaction's commit, some milliseconds after `admitted`; one whose transaction was
    aborted counts where it was published again.
    """

    partition: int
    uploaded: float
    admitted: float


def wait_admitted(settings, flow, within=120):
    """Until admit has no lag."""

    def done():
        assert lag(settings, flow) == 0

    eventually(done, within=within, every=0.3)


def account(settings, sent):
    """What became of every event: a dict of numbers, and every admitted event's passage.

    `lost`: of what was sent, not admitted. `doubled`: admitted more than once. `strange`: what should not be there (a root
    that is not the event's first place, an event that nobody sent, a reject, a dead letter, memory that does not agree).
    """
    first, at = {}, {}
    published = Counter()
    for message in records(settings, EVENTS):
        name = codec.decode(message.value(), PhotoUploaded).event_id
        place = (message.partition(), message.offset())
        published[name] += 1
        first.setdefault(name, place)
        at[place] = message.timestamp()[1] / 1000
    admitted, passages, strange = Counter(), [], 0
    for message in records(settings, ADMITTED):
        event = codec.decode(message.value(), PhotoAdmitted)
        admitted[event.event_id] += 1
        place = (event.root.partition, event.root.offset)
        if place == first.get(event.event_id):
            passages.append(Passage(event.root.partition, at[place], message.timestamp()[1] / 1000))
        else:
            strange += 1
    strange += len(admitted.keys() - sent.keys())
    strange += sum(1 for topic in (ENRICHED, DEAD_LETTER) for _ in records(settings, topic))
    remembered = Counter(message.key() for message in records(settings, ADMIT_CHANGELOG))
    strange += abs(len(remembered) - len(admitted)) + sum(remembered.values()) - len(remembered)
    figures = {
        "published": sum(sent.values()),
        "unique": len(sent),
        "admitted": sum(admitted.values()),
        "lost": len(sent.keys() - admitted.keys()) + sum((sent - published).values()),
        "doubled": sum(admitted.values()) - len(admitted) + sum((published - sent).values()),
        "strange": strange,
    }
    return figures, passages


def exact(figures):
    """Whether every event was admitted once, and nothing else happened."""
    return figures["lost"] == figures["doubled"] == figures["strange"] == 0 and figures["unique"] > 0


def stalls(passages, began, ended):
    """How it went for the events appended in that time, in seconds; a gap is a partition's time without output, as far as in it."""
    some = [passage for passage in passages if began <= passage.uploaded < ended]
    if not some:
        return {"events": 0}
    waits = sorted(passage.admitted - passage.uploaded for passage in some)
    outputs = {}
    for passage in passages:
        outputs.setdefault(passage.partition, {began, ended}).add(min(max(passage.admitted, began), ended))
    gaps = [after - before for times in outputs.values() for before, after in pairwise(sorted(times))]
    return {
        "events": len(some),
        "p50_seconds": round(waits[len(waits) // 2], 3),
        "p99_seconds": round(waits[int(len(waits) * 0.99)], 3),
        "worst_stall_seconds": round(waits[-1], 3),
        "longest_gap_seconds": round(max(gaps), 3),
    }
