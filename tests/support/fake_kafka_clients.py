"""confluent_kafka's Producer and Consumer on a broker in memory, as streams uses them.

What they stand for (librdkafka's INTRODUCTION.md, "Transactional producer", and confluent_kafka's own documentation):

- a producer hears that it is fenced when it asks for something: produce() itself never says so
- the answer to a commit may get lost, whether the commit has happened or not
- delivery is reported at the latest when the transaction is committed
- a consumer reads committed records unless told otherwise; a read gives fewer records than asked for, and the end is said when asked for
- the watermarks of a reader of committed records end before the first open transaction
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.support.fake_kafka import Broker, Entry, Fenced, Log

AT_ONCE = 3
"""Records that one read gives at most: a restore goes in several steps."""


class Message:
    """A record, or what a consumer has to say instead."""

    def __init__(self, entry: Entry | None = None, error: KafkaError | None = None, offset: int = -1) -> None:
        self._entry = entry
        self._error = error
        self._offset = entry.offset if entry else offset

    def error(self) -> KafkaError | None:
        return self._error

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._entry.key if self._entry else None

    def value(self) -> bytes | None:
        return self._entry.value if self._entry else None

    def timestamp(self) -> tuple[int, int]:
        return 2, int(self._entry.at * 1000) if self._entry else 0


def _fenced(why: Fenced) -> KafkaException:
    return KafkaException(KafkaError(KafkaError._FENCED, f"fenced: {why}", fatal=True))


@dataclass
class Line:
    """One worker's way to the broker, under an address of its own."""

    broker: Broker
    loses: str | None = None
    """What happens to the next commit: the "request" gets lost, or the "answer", when it has happened."""

    def commit(self, request: Callable[[], None]) -> None:
        lost, self.loses = self.loses, None
        if lost != "request":
            request()
        if lost:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer", retriable=True))


class Producer:
    """A transactional producer. Every partition is 0 unless the message names one."""

    def __init__(self, line: Line, config: dict[str, Any]) -> None:
        self._line = line
        self._broker = line.broker
        self._identity = config["transactional.id"]
        self._epoch = -1
        self._begun = False
        self._fenced: Fenced | None = None
        self._delivered: list[Callable[[], None]] = []

    def list_topics(self, topic: str, timeout: float) -> None:
        """The broker is there."""

    def init_transactions(self, timeout: float) -> None:
        self._epoch = self._broker.init(self._identity)

    def begin_transaction(self) -> None:
        """Nothing that the broker would hear of."""
        if self._begun:
            raise KafkaException(KafkaError(KafkaError._STATE, "a transaction is open already"))
        self._begun = True

    def produce(
        self, topic: str, value: bytes | None, key: bytes, partition: int = -1, on_delivery: Any = None
    ) -> None:
        log = self._broker.log(topic, max(partition, 0))
        try:
            offset = self._broker.append(self._identity, self._epoch, log, key, value)
        except Fenced as why:
            self._fenced = why
            return
        if on_delivery:
            self._delivered.append(lambda: on_delivery(None, Message(offset=offset)))

    def poll(self, timeout: float) -> None:
        """Report what was delivered."""
        while self._delivered:
            self._delivered.pop(0)()

    def send_offsets_to_transaction(self, positions: list[TopicPartition], group: str, timeout: float) -> None:
        self._ask(lambda: None)
        for tp in positions:
            place = group, tp.topic, tp.partition
            self._ask(
                lambda tp=tp, place=place: self._broker.send_position(
                    self._identity, self._epoch, place, tp.offset, tp.metadata or ""
                )
            )

    def commit_transaction(self, timeout: float) -> None:
        self._ask(lambda: None)
        self.poll(0)
        self._ask(lambda: self._line.commit(lambda: self._broker.commit(self._identity, self._epoch)))
        self._begun = False

    def _ask(self, request: Callable[[], None]) -> None:
        if self._fenced:
            raise _fenced(self._fenced)
        try:
            request()
        except Fenced as why:
            self._fenced = why
            raise _fenced(why) from why


class Consumer:
    """A consumer that is assigned its partition, and never joins a group."""

    def __init__(self, line: Line, config: dict[str, Any]) -> None:
        self._broker = line.broker
        self._group = config["group.id"]
        self._uncommitted = config.get("isolation.level", "read_committed") == "read_uncommitted"
        self._says_end = config.get("enable.partition.eof", False)
        self._reset = config.get("auto.offset.reset", "latest")
        self._log: Log
        self._next = 0
        self._ended_at = -1

    def consumer_group_metadata(self) -> str:
        return self._group

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        found = []
        for tp in partitions:
            offset, note = self._broker.position((self._group, tp.topic, tp.partition)) or (-1001, "")
            found.append(TopicPartition(tp.topic, tp.partition, offset, note))
        return found

    def get_watermark_offsets(self, tp: TopicPartition, timeout: float) -> tuple[int, int]:
        log = self._broker.log(tp.topic, tp.partition)
        return log.low, log.next if self._uncommitted else log.stable

    def assign(self, partitions: list[TopicPartition]) -> None:
        (tp,) = partitions
        self._log = self._broker.log(tp.topic, tp.partition)
        self._next = tp.offset

    def consume(self, most: int, timeout: float) -> list[Message]:
        if not self._log.low <= self._next <= self._log.next:
            if self._reset == "error":
                return [Message(error=KafkaError(KafkaError._AUTO_OFFSET_RESET, "outside of the log"))]
            self._next = self._log.low if self._reset == "earliest" else self._log.next
        entries, end = self._log.readable(self._next, uncommitted=self._uncommitted)
        taken = entries[: min(most, AT_ONCE)]
        messages = [Message(entry) for entry in taken]
        self._next = taken[-1].offset + 1 if len(taken) < len(entries) else end
        if len(taken) == len(entries) and self._says_end and self._ended_at != end:
            self._ended_at = end
            messages.append(Message(error=KafkaError(KafkaError._PARTITION_EOF, "the end"), offset=end))
        return messages

    def close(self) -> None:
        """Nothing to let go of."""
