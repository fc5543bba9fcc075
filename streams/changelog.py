"""A changelog, read from the broker. Blocking."""

from collections.abc import Iterator, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.topics import Topic
from streams.claim import Changelog
from streams.settings import Settings
from streams.standalone import log_of, reading

_AT_ONCE = 20_000  # records taken together
_BRIEFLY_SECONDS = 0.02  # which are waited out at a changelog's end too: the partition waits with it


def changelog_of(
    topic: Topic | None, settings: Settings, topic_ids: Mapping[str, str], partition: int
) -> Changelog | None:
    """One partition of an agent's changelog as the settings want it; `topic_ids`: the broker's, by name."""
    if topic is None:
        return None
    name, declared = settings.topic(topic), settings.declared(topic)
    return Changelog(name, topic_ids[name], partition, declared.format, declared.retention)


def remembers(changelog: Changelog, brokers: str) -> bool:
    """Whether there is an entry in it, be it one that was deleted and not compacted yet."""
    with reading(brokers) as consumer:
        begin, end = log_of(consumer, changelog.topic, changelog.partition)
        return begin < end and any(
            value is not None
            for changes, _ in changes_from(consumer, changelog, begin, end)
            for value in changes.values()
        )


def changes_from(
    consumer: Consumer, changelog: Changelog, first: int, end: int
) -> Iterator[tuple[dict[bytes, bytes | None], int]]:
    """Its records from `first` to its end, many at a time: what they change, and the last offset that they reach."""
    last = first - 1
    if last + 1 >= end:
        return
    consumer.assign([TopicPartition(changelog.topic, changelog.partition, first)])
    done = False
    while not done:
        changes: dict[bytes, bytes | None] = {}
        before = last
        for message in consumer.consume(_AT_ONCE, _BRIEFLY_SECONDS):
            error = message.error()
            if error is None:
                changes[message.key() or b""] = message.value()
                last = _offset(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (the name confluent_kafka gives it)
                last = _offset(message) - 1
                done = True
            else:
                raise KafkaException(error)
        if last > before:
            yield changes, last


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None  # noqa: S101 (for mypy: only a message that was not read has none)
    return offset
