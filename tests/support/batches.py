"""Batches of records, as an agent is given them, and a measure that remembers."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from agents.batch import Batch
from schemas import codec
from tests.support.builders import NOON


@dataclass(frozen=True)
class Read:
    """A record as it was read."""

    value: bytes | None
    offset: int
    timestamp: int
    key: bytes | None = b"key"


def batch(topic, *events, first=0, partition=0, at=NOON):
    """The events (or raw values) as one batch, appended a millisecond apart from `at` on."""
    return Batch(
        topic.name,
        partition,
        [
            Read(
                event if isinstance(event, bytes | None) else codec.encode(event),
                first + n,
                round((at + timedelta(milliseconds=n)).timestamp() * 1000),
            )
            for n, event in enumerate(events)
        ],
    )


@dataclass
class Counted:
    """Counters by name and labels."""

    counts: Counter = field(default_factory=Counter)
    observed: list = field(default_factory=list)

    def count(self, metric, amount=1, **labels):
        self.counts[(metric.name, *sorted(labels.items()))] += amount

    def observe(self, metric, seconds, **labels):
        self.observed.append((metric.name, seconds, labels))
