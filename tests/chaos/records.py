"""The topics of a stack as they stand: what a reader of committed records finds from their beginning to their end. Blocking."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from agents.batch import Batch, Delivery, appended_at
from schemas import codec
from schemas.errors import Unreadable
from schemas.events import EVENTS
from schemas.topics import TOPICS, Topic
from streams.patience import answer
from streams.position import Position
from streams.settings import Settings
from tests.support.batches import Read

_AT_ONCE = 10_000
_SILENCE_SECONDS = 30.0
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
        records = answer(lambda: list(self._to_the_end(here)))
        return [record for record in records if before is None or record.offset < before]

    def _to_the_end(self, here: TopicPartition) -> Iterator[Read]:
        self._consumer.assign([here])
        heard = time.monotonic()
        while time.monotonic() - heard < _SILENCE_SECONDS:
            for message in self._consumer.consume(_AT_ONCE, 0.1):
                heard = time.monotonic()
                if error := message.error():
                    if error.code() == KafkaError._PARTITION_EOF:
                        self._consumer.unassign()
                        return
                    raise KafkaException(error)
                yield Read(message.value(), message.offset(), message.timestamp()[1], message.key())
        raise Unsettled(f"{here.topic}-{here.partition} does not come to its end: is the broker up?")


@contextmanager
def reading(settings: Settings) -> Iterator[Log]:
    """The log, once no transaction is open on it: what lies behind one cannot be read, committed or not. Raises Unsettled."""
    _wait_for_open_transactions(settings)
    config = {
        "bootstrap.servers": settings.brokers,
        "group.id": "-",  # required, and never used: nothing is committed
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",  # compaction may have removed the first records of a changelog
        "fetch.wait.max.ms": 50,
        "fetch.queue.backoff.ms": 5,
        "log_level": 0,
    }
    with closing(Consumer(config)) as consumer:
        yield Log(settings, consumer)


def positions(settings: Settings, agent: str, topic: Topic) -> list[Position | None]:
    """Where an agent stands in each partition of a topic; None where it has never committed."""
    config = {
        "bootstrap.servers": settings.brokers,
        "group.id": settings.group(agent),
        "isolation.level": "read_committed",  # an offset whose transaction is still open is waited for
        "enable.auto.commit": False,
        "log_level": 0,
    }
    here = [TopicPartition(settings.topic(topic), partition) for partition in range(settings.partitions_of(topic))]
    with closing(Consumer(config)) as consumer:
        committed = answer(lambda: consumer.committed(here, _SILENCE_SECONDS))
    if errors := [each.error for each in committed if each.error]:
        raise KafkaException(errors[0])
    return [Position.of(each.offset, each.metadata or "") if each.offset >= 0 else None for each in committed]


def _wait_for_open_transactions(settings: Settings) -> None:
    admin = AdminClient({"bootstrap.servers": settings.brokers, "log_level": 0})
    end = time.monotonic() + _OPEN_SECONDS
    while behind := _behind_open_transactions(admin, settings):
        if time.monotonic() > end:
            raise Unsettled(f"{behind[0]} has a transaction that stays open: has its agent's worker come to the end?")
        time.sleep(0.2)  # until the broker gives the transaction up


def _behind_open_transactions(admin: AdminClient, settings: Settings) -> list[str]:
    """The partitions whose readers of committed records do not get to the end."""
    every = {
        TopicPartition(settings.topic(topic), partition): OffsetSpec.latest()
        for topic in TOPICS
        for partition in range(settings.partitions_of(topic))
    }

    def ends(level: IsolationLevel) -> dict[Any, int]:
        found = admin.list_offsets(every, isolation_level=level, request_timeout=_SILENCE_SECONDS)
        return {here: future.result().offset for here, future in found.items()}

    readable, written = (
        answer(lambda: ends(IsolationLevel.READ_COMMITTED)),
        answer(lambda: ends(IsolationLevel.READ_UNCOMMITTED)),
    )
    return [f"{here.topic}-{here.partition}" for here, offset in readable.items() if offset < written[here]]
