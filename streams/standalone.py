"""Consumers that stand alone: they are told what to read, join no group and commit nothing. Blocking.

Here are their configuration and the questions that everybody asks of them. Each raises KafkaException; streams/patience.py makes
Unavailable of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.topics import Topic
from streams.patience import answer
from streams.settings import Settings
from streams.standing import Log

_TIMEOUT_SECONDS = 30.0

_CONFIG = {
    "group.id": "-",  # required, and never used: nothing is committed
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    # The end may be a transaction's marker, which is never delivered: only the broker can say that it is reached.
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",  # what comes next may just have been compacted or deleted
    "fetch.wait.max.ms": 50,
    "fetch.queue.backoff.ms": 5,  # the default of a second makes a restore four times as slow
    "log_level": 0,  # librdkafka would write to stderr by itself
}


def consumer(brokers: str, config: Mapping[str, Any] | None = None) -> Consumer:
    """A reader of committed records, unless `config` says otherwise; to be closed."""
    return Consumer({"bootstrap.servers": brokers, **_CONFIG, **(config or {})})


@contextmanager
def reading(brokers: str, config: Mapping[str, Any] | None = None) -> Iterator[Consumer]:
    """The same for a `with` block."""
    with closing(consumer(brokers, config)) as reader:
        yield reader


def partitions_of(settings: Settings, topics: Iterable[Topic]) -> list[TopicPartition]:
    """Every partition of the topics, by their names on the broker, from its beginning on."""
    return [
        TopicPartition(settings.topic(topic), partition, 0)
        for topic in topics
        for partition in range(settings.partitions_of(topic))
    ]


def log_of(reader: Consumer, topic: str, partition: int, timeout_seconds: float = _TIMEOUT_SECONDS) -> Log:
    """What the log has for this reader: of committed records, up to the first transaction that is still open."""
    here = TopicPartition(topic, partition)
    return Log(*answer(lambda: reader.get_watermark_offsets(here, timeout_seconds)))


def to_the_end(
    reader: Consumer, partitions: Iterable[TopicPartition], *, silence_seconds: float = _TIMEOUT_SECONDS
) -> Iterator[Message]:
    """The records of the partitions, from the offsets that these name, until each has come to its end once.

    Raises TimeoutError when there is nothing to hear for so long.
    """
    left = {(here.topic, here.partition): here for here in partitions}
    reader.assign(list(left.values()))
    while left:
        message = reader.poll(silence_seconds)
        if message is None:
            raise TimeoutError(
                f"{len(left)} partition(s) do not come to their end: no record for {silence_seconds:.0f} s"
            )
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (the name confluent_kafka gives it)
            left.pop((str(message.topic()), message.partition() or 0), None)
        else:
            raise KafkaException(error)
    reader.unassign()


def committed(
    settings: Settings,
    agent: str,
    partitions: list[TopicPartition],
    *,
    isolation: str = "read_uncommitted",
    timeout_seconds: float = _TIMEOUT_SECONDS,
) -> list[TopicPartition]:
    """What an agent's group has committed of each, with its note; the offset is negative where there is nothing.

    With "read_committed", a transaction that is still open is waited for, also one that a killed worker has left.
    """
    config = {"group.id": settings.group(agent), "isolation.level": isolation}
    with reading(settings.brokers, config) as group:
        return answer(lambda: committed_of(group, partitions, timeout_seconds))


def committed_of(group: Consumer, partitions: list[TopicPartition], timeout_seconds: float) -> list[TopicPartition]:
    """The same of the group that the consumer names."""
    found = group.committed(partitions, timeout_seconds)
    for here in found:
        if here.error:
            raise KafkaException(here.error)
    return found
