"""Questions to the broker, asked again while it says that it will know soon: of a topic that was just made, say. Blocking."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import Unavailable

T = TypeVar("T")

_SOON = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 (the name confluent_kafka gives it)
    KafkaError._TRANSPORT,  # noqa: SLF001
}
"""librdkafka's own `retriable` is set in the answers to transactions only."""

_PATIENCE_SECONDS = 15.0
_PAUSE_SECONDS = 0.1


def answer(ask: Callable[[], T], *, patience_seconds: float = _PATIENCE_SECONDS) -> T:
    """What the broker answers. Raises KafkaException for an error that stays, or that no patience mends."""
    end = time.monotonic() + patience_seconds
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _SOON or time.monotonic() > end:
                raise
        time.sleep(_PAUSE_SECONDS)


@contextmanager
def or_unavailable(brokers: str) -> Iterator[None]:
    """Raises Unavailable where the body raises what a broker, or its silence, is at fault for."""
    try:
        yield
    except KafkaException as error:
        raise Unavailable("Kafka", f"{brokers}: {error.args[0].str()}") from error
    except TimeoutError as error:
        raise Unavailable("Kafka", f"{brokers}: {error}") from error
