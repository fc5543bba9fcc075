"""The topics of a stack as they stand: what a reader of committed records finds from their beginning to their end. Blocking."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from agents.batch import Batch, Delivery, appended_at
from schemas import codec
from schemas.errors import Unreadable
from schemas.events import EVENTS
from schemas.topics import TOPICS, Topic
from streams import standalone
from streams.patience import answer
from streams.position import Position
from streams.settings import Settings
from tests.support.batches import Read

_OPEN_SECONDS = 60.0  # twice what the broker lets a transaction of a dead worker live (streams/claim.py)


class Unsettled(Exception):  # noqa: N818 (named by what was found)
    """The stack still works, so nothing can be accounted: one line that says what to wait for."""


@dataclass(frozen=True, slots=True)
class Decoded(Batch):
    """Records of an inner topic that are decoded once, for all who look at them: more than half of what an account costs.

    `unreadable`: what holds no event of the topic, by offset, and why; agents are not given it.
    """

    decoded: Sequence[Delivery]
    unreadable: dict[int, str]

    @classmethod
    def of(cls, topic: Topic, partition: int, records: Sequence[Read]) -> "Decoded":
        """The records of a partition of a topic."""
        kinds = [event for event in EVENTS if event.__name__ in topic.records]
        decoded, unreadable = [], {}
        for record in records:
            try:
                event = codec.decode(record.value or b"", *kinds)
            except Unreadable as why:
                unreadable[record.offset] = why.detail
            else:
                decoded.append(Delivery(event, partition, record.offset, appended_at(record)))
        readable = [record for record in records if record.offset not in unreadable]
        return cls(topic.name, partition, readable, decoded, unreadable)

    def deliveries(self, *types: type) -> Iterator[Delivery]:
        """As Batch.deliveries."""
        assert all(isinstance(delivery.event, types) for delivery in self.decoded)
        return iter(self.decoded)

    def slices(self, size: int) -> Iterator["Decoded"]:
        """The same in batches."""
        for first in range(0, len(self.records), size):
            here = slice(first, first + size)
            yield Decoded(self.topic, self.partition, self.records[here], self.decoded[here], {})


class Log:
    """Every topic of a stack, by the contract's names."""

    def __init__(self, settings: Settings, consumer: Consumer) -> None:
        """Use reading()."""
        self._settings = settings
        self._consumer = consumer

    def partitions(self, topic: Topic) -> range:
        """The topic's partitions."""
        return range(self._settings.partitions_of(topic))

    def read(self, topic: Topic, partition: int, before: int | None = None) -> list[Read]:
        """The committed records of a partition, in order; those before an offset, if one is given."""
        here = TopicPartition(self._settings.topic(topic), partition, 0)
        try:
            messages = answer(lambda: list(standalone.to_the_end(self._consumer, [here])))
        except TimeoutError as why:
            raise Unsettled(f"{here.topic}-{here.partition} does not come to its end: is the broker up?") from why
        records = [Read(each.value(), each.offset(), each.timestamp()[1], each.key()) for each in messages]
        return [record for record in records if before is None or record.offset < before]


@contextmanager
def reading(settings: Settings) -> Iterator[Log]:
    """The log, once no transaction is open on it: what lies behind one cannot be read, committed or not. Raises Unsettled."""
    _wait_for_open_transactions(settings)
    with standalone.reading(settings.brokers) as consumer:
        yield Log(settings, consumer)


def positions(settings: Settings, agent: str, topic: Topic) -> list[Position | None]:
    """Where an agent stands in each partition of a topic; None where it has never committed."""
    here = standalone.partitions_of(settings, [topic])
    committed = standalone.committed(settings, agent, here, isolation="read_committed")
    return [Position.of(each.offset, each.metadata or "") if each.offset >= 0 else None for each in committed]


def _wait_for_open_transactions(settings: Settings) -> None:
    end = time.monotonic() + _OPEN_SECONDS
    with (
        standalone.reading(settings.brokers) as committed,
        standalone.reading(settings.brokers, {"isolation.level": "read_uncommitted"}) as everything,
    ):
        while behind := _behind_open_transactions(committed, everything, settings):
            if time.monotonic() > end:
                raise Unsettled(
                    f"{behind[0]} has a transaction that stays open: has its agent's worker come to the end?"
                )
            time.sleep(0.2)  # until the broker gives the transaction up


def _behind_open_transactions(committed: Consumer, everything: Consumer, settings: Settings) -> list[str]:
    """The partitions whose readers of committed records do not get to the end."""
    return [
        f"{here.topic}-{here.partition}"
        for here in standalone.partitions_of(settings, TOPICS)
        if standalone.log_of(committed, here.topic, here.partition).end
        < standalone.log_of(everything, here.topic, here.partition).end
    ]
