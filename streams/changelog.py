"""A changelog, read from the broker. Blocking."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.topics import Topic
from streams.claim import Changelog
from streams.patience import answer
from streams.settings import Settings

_AT_ONCE = 20_000  # records taken together
_BRIEFLY_SECONDS = 0.02  # which are waited out at a changelog's end too: the partition waits with it
_TIMEOUT_SECONDS = 30.0


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
        begin, end = log(consumer, changelog)
        return begin < end and any(
            value is not None
            for changes, _ in changes_from(consumer, changelog, begin, end)
            for value in changes.values()
        )


@contextmanager
def reading(brokers: str) -> Iterator[Consumer]:
    """A reader of committed records."""
    config = {
        "bootstrap.servers": brokers,
        "group.id": "-",  # required, and never used: nothing is committed
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        # The end may be a transaction's marker, which is never delivered: only the broker can say that it is reached.
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",  # compaction may have removed the very record that comes next
        "fetch.wait.max.ms": 50,
        "fetch.queue.backoff.ms": 5,  # the default of a second makes a restore four times as slow
        "log_level": 0,
    }
    with closing(Consumer(config)) as consumer:
        yield consumer


def log(consumer: Consumer, changelog: Changelog) -> tuple[int, int]:
    """The first offset that it has, and the one that its next record will get."""
    here = TopicPartition(changelog.topic, changelog.partition)
    return answer(lambda: consumer.get_watermark_offsets(here, _TIMEOUT_SECONDS))


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
