"""How an upload service publishes, in Python. Needs the base install only.

    with PhotoProducer("kafka:9092") as photos:
        photos.publish(
            PhotoUploaded(
                event_id="7c1e…",  # one of its own for every upload; the same again only for the same bytes
                photo_id="IMG_2041",
                owner_id="alice",
                object_uri="s3://photos/alice/IMG_2041.jpg",
                content_sha256=hashlib.sha256(data).digest(),
                size_bytes=len(data),
                media_type="image/jpeg",
                uploaded_at=datetime.now(UTC),
                source="web",
            )
        )

Publish an event when the object can be read at its object_uri. Services in other languages: schemas/avro/PhotoUploaded.avsc.
"""

from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, Message, Producer

from schemas import codec
from schemas.errors import SafelightError
from schemas.events import PhotoUploaded
from schemas.topics import EVENTS

_MOST_NAMED = 5


class NotPublished(SafelightError):  # noqa: N818 (named by what happened)
    """The broker did not take these events: publish them again, each with the same event_id."""

    def __init__(self, event_ids: list[str], why: str) -> None:
        named = ", ".join(event_ids[:_MOST_NAMED]) + (", …" if len(event_ids) > _MOST_NAMED else "")
        super().__init__(f"{len(event_ids)} event(s) not published ({named}): {why}")
        self.event_ids = event_ids


class PhotoProducer:
    """Publishes PhotoUploaded events. Idempotent: a retry inside adds nothing twice, and an owner's events keep their order.

    publish() returns before the broker has answered. What it refuses, or does not take within `patience`, is raised by the
    next publish(), flush() or the end of the `with` block. Not to be shared between threads.
    """

    def __init__(
        self,
        brokers: str,
        *,
        topic: str = EVENTS.name,
        patience: timedelta = timedelta(minutes=2),
        config: dict[str, Any] | None = None,
    ) -> None:
        """`brokers`: host:port, comma separated; `config`: further settings of librdkafka, such as sasl.* and ssl.*."""
        self._topic = topic
        self._failed: list[str] = []
        self._why = ""
        self._producer = Producer(
            {
                "linger.ms": 5,
                "compression.type": "lz4",
                "log_level": 0,
                **(config or {}),
                "bootstrap.servers": brokers,
                "partitioner": "murmur2_random",  # librdkafka's own default would split an owner's photos over partitions
                "enable.idempotence": True,
                "message.timeout.ms": int(patience / timedelta(milliseconds=1)),
            }
        )

    def publish(self, event: PhotoUploaded) -> None:
        """Hand an event over; waits while the buffer is full. Raises NotPublished for earlier events, and then not this one.

        Raises ValueError when a field does not fit its type.
        """
        self._raise_failures()
        value, key = codec.encode(event), event.owner_id.encode()

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                self._failed.append(event.event_id)
                self._why = error.str()

        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=delivered)
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until the broker has everything. Raises NotPublished."""
        self._producer.flush()
        self._raise_failures()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Flush; an error of the body goes before one of ours."""
        if kind is None:
            self.flush()
        else:
            self._producer.flush(1)

    def _raise_failures(self) -> None:
        if self._failed:
            failed, self._failed = self._failed, []
            raise NotPublished(failed, self._why)
