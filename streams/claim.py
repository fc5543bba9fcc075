"""A claim on one input partition: from the moment it is made, whoever had the partition can commit nothing any more.

The transactional id names the partition, not the worker. So claiming aborts what a dead owner left open and fences an owner
that is only asleep, at once, by the broker: nobody waits for a time-out, and no two workers can commit the same records.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from schemas.errors import StrangeWorld
from streams.patience import answer
from streams.position import Position
from streams.step import Reached, Step, unwatched

_TIMEOUT_SECONDS = 30.0
"""Of every request: a broker that is away for longer ends the worker, and the next one waits for it."""

_PRODUCER = {
    "partitioner": "murmur2_random",  # of the contract: the Java client's default (schemas/partitioning.py)
    "linger.ms": 5,
    "compression.type": "lz4",
    # Between two transactions the broker still writes the last one's markers; with the default of 100 each waits for 95 ms.
    "retry.backoff.ms": 2,
    "transaction.timeout.ms": int(_TIMEOUT_SECONDS * 1000),
    "queue.buffering.max.kbytes": 1 << 16,  # a full buffer is waited for
    "log_level": 0,  # librdkafka would write to stderr by itself
}


@dataclass(frozen=True, slots=True)
class Source:
    """One input partition: the topic's name and id on the broker, and the number."""

    topic: str
    topic_id: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


class Message(NamedTuple):
    """One record to publish; without a partition, the key decides."""

    topic: str
    key: bytes
    value: bytes | None
    partition: int = -1


class Group:
    """The positions of a consumer group, asked by a consumer that never joins it. Blocking, and safe in many threads."""

    def __init__(self, brokers: str, name: str) -> None:
        self.name = name
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": name,
                "isolation.level": "read_committed",  # an offset whose transaction is still open is waited for
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )

    def metadata(self) -> Any:
        """What a transaction must name to commit positions of this group: the fence is the producer's, not a membership."""
        return self._consumer.consumer_group_metadata()

    def position(self, source: Source) -> tuple[Position, bool]:
        """Where to go on, and whether the group has committed there before. Raises StrangeWorld when that makes no sense."""
        here = TopicPartition(source.topic, source.partition)
        committed = self._consumer.committed([here], _TIMEOUT_SECONDS)[0]
        if committed.error:
            raise KafkaException(committed.error)
        low, high = answer(lambda: self._consumer.get_watermark_offsets(here, _TIMEOUT_SECONDS))
        if committed.offset < 0:
            return Position(low, source.topic_id), False
        try:
            position = Position.of(committed.offset, committed.metadata or "")
        except ValueError as error:
            raise self._strange(source, "was set by something else than safelight") from error
        if position.topic_id != source.topic_id:
            raise self._strange(source, "belongs to an earlier topic of the same name")
        if not low <= position.offset <= high:
            raise self._strange(source, f"is {position.offset}, and the log has {low} to {high}")
        return position, True

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def _strange(self, source: Source, what: str) -> StrangeWorld:
        return StrangeWorld(
            f"the position of {self.name} in {source} {what}: to read the topic from its beginning, stop the group's workers and "
            f"run `kafka-consumer-groups --delete-offsets --group {self.name} --topic {source.topic}`"
        )


class Claim:
    """A partition that is ours alone. Blocking; raises KafkaException when another has claimed it since, or the broker is away.

    After an error it is of no more use: what was open is aborted by the next claim.
    """

    def __init__(self, brokers: str, group: Group, source: Source, *, reached: Reached = unwatched) -> None:
        self._reached = reached
        self.source = source
        self._group = group
        identity = f"{group.name}-{source}"
        self._producer = Producer({**_PRODUCER, "bootstrap.servers": brokers, "transactional.id": identity})
        self._producer.init_transactions(_TIMEOUT_SECONDS)
        reached(Step.CLAIMING)
        self.position, self.committed = group.position(source)

    def begin(self) -> None:
        """Begin a transaction."""
        self._producer.begin_transaction()

    def publish(self, messages: Iterable[Message]) -> None:
        """Publish in the transaction that is open; waits while the buffer is full."""
        produce = self._producer.produce
        for topic, key, value, partition in messages:
            try:
                produce(topic, value, key, partition)
            except BufferError:
                self._produce_patiently(Message(topic, key, value, partition))

    def publish_changes(self, changelog: str, changes: Mapping[bytes, bytes | None]) -> Callable[[], int | None]:
        """Publish changes of the state to this partition of the changelog.

        The returned function says, once it is committed, which offset the last one has (None without changes).
        """
        messages = [Message(changelog, key, value, self.source.partition) for key, value in changes.items()]
        offsets: list[int] = []
        self.publish(messages[:-1])
        for last in messages[-1:]:
            self._produce_patiently(last, lambda _, delivered: offsets.append(delivered.offset()))
        return lambda: offsets[-1] if offsets else None

    def commit(self, position: Position) -> None:
        """Commit what was published, and the position, together."""
        here = TopicPartition(self.source.topic, self.source.partition, position.offset, position.note)
        self._producer.send_offsets_to_transaction([here], self._group.metadata(), _TIMEOUT_SECONDS)
        self._reached(Step.POSITIONED)
        self._producer.commit_transaction(_TIMEOUT_SECONDS)
        self.position = position
        self.committed = True

    def _produce_patiently(self, message: Message, on_delivery: Callable[[Any, Any], None] | None = None) -> None:
        while True:
            try:
                self._producer.produce(
                    message.topic, message.value, message.key, message.partition, on_delivery=on_delivery
                )
            except BufferError:
                self._producer.poll(0.1)  # full: let some of it go
            else:
                return
