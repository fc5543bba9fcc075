"""Single records of photos.events, by their place: the uploads that dead letters stem from."""

from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.topics import EVENTS
from streams.patience import or_unavailable
from streams.settings import Settings
from streams.standalone import consumer, log_of
from streams.standing import Log

_SILENCE_SECONDS = 30.0

_READ_ON_RECORDS = 1000
"""A place that is no farther ahead is come to by reading on: what is between has mostly been fetched already."""

_CONFIG = {"queued.max.messages.kbytes": 4096}  # few of the records that are fetched are asked for


class Uploads:
    """For a `with` block. Quick when it is asked in the order of the log."""

    def __init__(self, settings: Settings) -> None:
        self._brokers = settings.brokers
        self._topic = settings.topic(EVENTS)
        self._consumer = consumer(settings.brokers, _CONFIG)
        self._logs: dict[int, Log] = {}
        self._next: tuple[int, int] | None = None  # the partition that is read, and the first offset that may come

    def at(self, partition: int, offset: int) -> bytes | None:
        """The value of the record; None when photos.events has it no more. Raises Unavailable."""
        with or_unavailable(self._brokers):
            if partition not in self._logs:
                self._logs[partition] = log_of(self._consumer, self._topic, partition)
            log = self._logs[partition]
            return self._read(partition, offset) if log.begin <= offset < log.end else None

    def _read(self, partition: int, offset: int) -> bytes | None:
        here, first = self._next or (-1, 0)
        if here != partition or not first <= offset < first + _READ_ON_RECORDS:
            self._consumer.assign([TopicPartition(self._topic, partition, offset)])
        self._next = None  # until it is known
        while True:
            message = self._consumer.poll(_SILENCE_SECONDS)
            if message is None:
                raise TimeoutError(f"no record for {_SILENCE_SECONDS:.0f} s")
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (the name confluent_kafka gives it)
                    return None
                raise KafkaException(error)
            if message.partition() != partition:
                continue  # fetched before another was assigned
            found = message.offset() or 0
            self._next = (partition, found + 1)
            if found >= offset:
                return (message.value() or b"") if found == offset else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._consumer.close()
