"""Reading a topic from where it ended at some moment: what came since, committed records only."""

from collections.abc import Iterator
from contextlib import closing
from typing import TypeVar

from confluent_kafka import Consumer, TopicPartition

from schemas import codec
from schemas.events import Event
from schemas.topics import Topic
from streams.settings import Settings

E = TypeVar("E", bound=Event)

_TIMEOUT_SECONDS = 10
_AT_ONCE = 1000
_PAUSE_SECONDS = 0.1
"""consume() waits for so long when there are fewer records than it may take."""


class Tail:
    """A topic, from its end at construction (or its beginning) to its end at each read."""

    def __init__(self, settings: Settings, topic: Topic, *, from_beginning: bool = False) -> None:
        """The broker must be there and have the topic."""
        self._config = {
            "bootstrap.servers": settings.brokers,
            "group.id": "unused",  # assigned by hand, commits nothing
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
        self._positions: dict[int, int] = {}
        with closing(Consumer(self._config)) as consumer:
            for number in range(settings.partitions_of(topic)):
                partition = TopicPartition(settings.topic(topic), number)
                low, high = consumer.get_watermark_offsets(partition, timeout=_TIMEOUT_SECONDS)
                self._positions[number] = low if from_beginning else high
        self._topic = settings.topic(topic)

    def values(self) -> Iterator[bytes]:
        """Every record's value up to the present end."""
        with closing(Consumer(self._config)) as consumer:
            consumer.assign([TopicPartition(self._topic, number, at) for number, at in self._positions.items()])
            left = set(self._positions)
            while left:
                for message in consumer.consume(_AT_ONCE, _PAUSE_SECONDS):
                    number, offset = message.partition(), message.offset()
                    if message.error() is None and number is not None and offset is not None:
                        self._positions[number] = offset + 1
                        yield message.value() or b""
                    else:  # the end of a partition; consume() raises on what is fatal
                        left.discard(number)

    def events(self, *kinds: type[E]) -> Iterator[E]:
        """Every record decoded. Raises Unreadable."""
        return (codec.decode(value, *kinds) for value in self.values())
