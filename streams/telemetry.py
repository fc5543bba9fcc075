"""What a worker measures, added up and published on ops.metrics once an interval.

By a producer of its own, outside of the batches' transactions: a metric that is lost hurts nobody, and a broker that is away
must not stop a worker from measuring.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import KafkaException, Producer

from agents.measure import Measure
from schemas import codec
from schemas.events import Bucket, Metric
from schemas.metrics import RESIDENT, UP, Declared, Kind, bucket_of

_LAST_SECONDS = 0.5  # for the last metrics, when the worker ends

Key = tuple[Declared, tuple[tuple[str, str], ...]]


def _key(metric: Declared, labels: dict[str, str]) -> Key:
    return metric, tuple(sorted(labels.items()))


class Telemetry:
    """Implements agents.measure.Measure, in any thread."""

    def __init__(
        self,
        *,
        agent: str,
        worker: str,
        publish: Callable[[Metric], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        resident: Callable[[], int] | None = None,
    ) -> None:
        """`worker`: agent, host and process id; `resident`: the bytes of memory that this process holds."""
        self._agent = agent
        self._worker = worker
        self._publish = publish
        self._clock = clock
        self._resident = resident or resident_bytes
        self._lock = threading.Lock()
        self._sums: dict[Key, float] = {}
        self._buckets: dict[Key, Counter[int]] = {}
        self._gauges: dict[Key, float] = {}

    def count(self, metric: Declared, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        key = _key(metric, labels)
        with self._lock:
            self._sums[key] = self._sums.get(key, 0.0) + amount

    def observe(self, metric: Declared, seconds: float, **labels: str) -> None:
        """Add one observation to a histogram."""
        key = _key(metric, labels)
        with self._lock:
            self._sums[key] = self._sums.get(key, 0.0) + seconds
            self._buckets.setdefault(key, Counter())[bucket_of(seconds)] += 1

    def set(self, metric: Declared, value: float, **labels: str) -> None:
        """Give a gauge the value that it has at the end of this interval; without one it is not published."""
        with self._lock:
            self._gauges[_key(metric, labels)] = value

    def report(self, *, up: bool = True) -> None:
        """Publish what the interval came to, and begin the next one."""
        self.set(UP, float(up))
        self.set(RESIDENT, self._resident())
        with self._lock:
            values, buckets = self._sums | self._gauges, self._buckets
            self._sums, self._buckets, self._gauges = {}, {}, {}
        at = self._clock()
        for key, value in values.items():
            metric, labels = key
            counts = sorted(buckets[key].items()) if metric.kind is Kind.HISTOGRAM else []
            self._publish(
                Metric(
                    name=metric.name,
                    agent=self._agent,
                    worker=self._worker,
                    labels=dict(labels),
                    at=at,
                    value=value,
                    buckets=[Bucket(index, number) for index, number in counts],
                )
            )


@contextmanager
def timed(measure: Measure, metric: Declared, **labels: str) -> Iterator[None]:
    """Observe how long the body takes, if it ends well."""
    began = time.monotonic()
    yield
    measure.observe(metric, time.monotonic() - began, **labels)


class MetricsTopic:
    """Publishes metrics and never waits; what the broker does not take in time is lost."""

    def __init__(self, brokers: str, topic: str) -> None:
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": brokers,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 50,
                "message.timeout.ms": 30_000,
                "log_level": 0,
            }
        )

    def publish(self, metric: Metric) -> None:
        """Hand a metric over."""
        try:
            self._producer.produce(self._topic, codec.encode(metric), metric.worker.encode())
            self._producer.poll(0)
        except (BufferError, KafkaException):  # full, or the producer has given up: lost
            return

    def close(self) -> None:
        """Wait a moment for the last ones."""
        self._producer.flush(_LAST_SECONDS)


def resident_bytes() -> int:
    """The memory that this process holds, by Linux (0 elsewhere)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
