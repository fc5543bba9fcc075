"""A claim on one input partition: from the moment it is made, whoever had the partition can commit nothing any more.

The transactional id names the partition, not the worker. So claiming aborts what a dead owner left open and fences an owner
that is only asleep, at once, by the broker: nobody waits for a time-out, and no two workers can commit the same records.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from schemas.errors import StrangeWorld, Unavailable
from streams.patience import answer
from streams.position import Position
from streams.standalone import committed_of, consumer, log_of
from streams.standing import Expected, Fault, Standing, judge, refusal
from streams.step import Reached, Step, unwatched

_TIMEOUT_SECONDS = 30.0
"""Of every request: a broker that is away for longer ends the worker, and the next one waits for it."""

_ACCEPTING_SECONDS = 600
"""In which a whole state can be forgotten in one transaction; a broker allows 900 unless told otherwise."""

_CONNECTIONS = {
    "reconnect.backoff.max.ms": 500,  # by default a broker that is back is found after up to 10 s
    # When no broker is to be reached, librdkafka would by default forget them all and begin with those that it was given ("rebootstrap"):
    # a commit under way then waits for a coordinator that it has forgotten, up to a minute after the broker is back. For a cluster
    # that has moved as a whole, the worker ends after the time-out, and its successor begins with those that it is given.
    "metadata.recovery.strategy": "none",
    "log_level": 0,  # librdkafka would write to stderr by itself
}

_PRODUCER = {
    **_CONNECTIONS,
    "partitioner": "murmur2_random",  # of the contract: the Java client's default (schemas/partitioning.py)
    "linger.ms": 5,
    "compression.type": "lz4",
    # Between two transactions the broker still writes the last one's markers; with the default of 100 each waits for 95 ms.
    "retry.backoff.ms": 2,
    "transaction.timeout.ms": int(_TIMEOUT_SECONDS * 1000),
    "queue.buffering.max.kbytes": 1 << 16,  # a full buffer is waited for
    # When the broker that coordinates the group goes, librdkafka waits for any connection to open or close before it looks for
    # the next one, whatever the time-out (its issues 5456 and 5511): of a partition that waits, all are idle, and so close.
    "connections.max.idle.ms": 5_000,
}


@dataclass(frozen=True, slots=True)
class Source:
    """One input partition: the topic's name and id on the broker, and the number."""

    topic: str
    topic_id: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


@dataclass(frozen=True, slots=True)
class Changelog:
    """One partition of a changelog topic (streams/state.py); `topic_id` is the broker's id of the topic.

    `format`: of its values, as far as this version knows it; `kept`: how long it keeps them, None for ever.
    """

    topic: str
    topic_id: str
    partition: int
    format: int = 1
    kept: timedelta | None = None


def expected(source: Source, changelog: Changelog | None) -> Expected:
    """What a note of ours says there."""
    if changelog is None:
        return Expected(source.topic_id)
    return Expected(source.topic_id, changelog.topic_id, changelog.format)


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
        # It reads what is committed: an offset whose transaction is still open is waited for.
        self._consumer = consumer(brokers, {"group.id": name, **_CONNECTIONS})

    def metadata(self) -> Any:
        """What a transaction must name to commit positions of this group: the fence is the producer's, not a membership."""
        return self._consumer.consumer_group_metadata()

    def standing(self, source: Source, ours: Expected) -> Standing:
        """Where it stands. A commit whose transaction is still open is waited for; raises Unavailable if it stays open."""
        here = TopicPartition(source.topic, source.partition)
        try:
            (committed,) = committed_of(self._consumer, [here], _TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._TIMED_OUT:  # noqa: SLF001 (the name confluent_kafka gives it)
                raise
            raise Unavailable(
                "Kafka",
                f"for {_TIMEOUT_SECONDS:.0f} s it did not say where {self.name} stands in {source}; if it answers others, a "
                "transaction was left half done: kafka-transactions.sh find-hanging shows it",
            ) from error
        log = log_of(self._consumer, source.topic, source.partition)
        return judge(committed.offset, committed.metadata or "", ours, log)

    def end(self, source: Source) -> int:
        """The offset up to which the partition's log is committed."""
        return self._consumer.get_watermark_offsets(TopicPartition(source.topic, source.partition), _TIMEOUT_SECONDS)[1]

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()


class Claim:
    """A partition that is ours alone. Blocking; raises KafkaException when another has claimed it since, or the broker is away.

    After an error it is of no more use: what was open is aborted by the next claim.
    """

    def __init__(
        self,
        brokers: str,
        group: Group,
        source: Source,
        changelog: Changelog | None = None,
        *,
        at: Position | None = None,
        reached: Reached = unwatched,
    ) -> None:
        """Raises StrangeWorld when the group's position makes no sense. With `at`, which an operator accepts, it goes on there."""
        self._reached = reached
        self.source = source
        self._group = group
        identity = f"{group.name}-{source}"
        config = {**_PRODUCER, "bootstrap.servers": brokers, "transactional.id": identity}
        if at:
            config["transaction.timeout.ms"] = _ACCEPTING_SECONDS * 1000
        self._producer = Producer(config)
        _connect(self._producer, source.topic)
        self._producer.init_transactions(_TIMEOUT_SECONDS)
        reached(Step.CLAIMING)
        ours = expected(source, changelog)
        position, self.committed = (at, False) if at else self._found(ours)
        # So that every commit says which state belongs to it.
        self.position = replace(position, format=ours.format, changelog=ours.changelog)

    def _found(self, ours: Expected) -> tuple[Position, bool]:
        """Where to go on, and whether the group has committed there before."""
        standing = self._group.standing(self.source, ours)
        if standing.fault:
            raise self.refusal(standing.fault)
        if standing.position is None:
            return Position(standing.log.begin, self.source.topic_id), False
        return standing.position, True

    def refusal(self, fault: Fault) -> StrangeWorld:
        """The error with which a worker leaves the partition alone."""
        return refusal(self._group.name, self.source.topic, self.source.partition, fault)

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


def _connect(producer: Producer, topic: str) -> None:
    """Return when the producer has a connection to one of the brokers that the cluster itself names.

    librdkafka asks for the transactions' coordinator at once, and without a connection again only half a second later; its very
    first connection does not count, since it is closed as soon as the cluster has named its brokers: hence two questions.
    """
    for _ in range(2):
        answer(lambda: producer.list_topics(topic, _TIMEOUT_SECONDS))
