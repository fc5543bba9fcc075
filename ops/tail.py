"""Reading a topic from where it ended at some moment: what came since, committed records only."""

from collections.abc import Iterator
from typing import TypeVar

from confluent_kafka import TopicPartition

from schemas import codec
from schemas.events import Event
from schemas.topics import Topic
from streams.patience import or_unavailable
from streams.settings import Settings
from streams.standalone import log_of, partitions_of, reading, to_the_end

E = TypeVar("E", bound=Event)


class Tail:
    """A topic, from its end at construction (or its beginning) to its end at each read."""

    def __init__(self, settings: Settings, topic: Topic, *, from_beginning: bool = False) -> None:
        """Raises Unavailable without the broker or the topic."""
        self._brokers = settings.brokers
        self._topic = settings.topic(topic)
        with or_unavailable(self._brokers), reading(self._brokers) as consumer:
            logs = [log_of(consumer, at.topic, at.partition) for at in partitions_of(settings, [topic])]
        self._positions = [log.begin if from_beginning else log.end for log in logs]

    def values(self) -> Iterator[bytes]:
        """Every record's value up to the present end. Raises Unavailable when the broker goes."""
        here = [TopicPartition(self._topic, number, at) for number, at in enumerate(self._positions)]
        with or_unavailable(self._brokers), reading(self._brokers) as consumer:
            for message in to_the_end(consumer, here):
                number, offset = message.partition(), message.offset()
                assert number is not None and offset is not None  # noqa: S101, PT018 (for mypy: a record has both)
                self._positions[number] = offset + 1
                yield message.value() or b""

    def events(self, *kinds: type[E]) -> Iterator[E]:
        """Every record decoded. Raises Unreadable, and as values."""
        return (codec.decode(value, *kinds) for value in self.values())
