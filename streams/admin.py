"""Questions to the broker that take an admin client, of which a process has one. Blocking.

Every question is answered, or raises Unavailable; and who asks after that has a new client, since the old one may wait for a
controller that is gone. librdkafka 2.16 dies of an admin client that is dropped while a broker owes it an answer: so one that was
let down is kept until nobody can owe it anything.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it means to export them, and does not say so
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicDescription,
)

from schemas.topics import Topic
from streams.patience import or_unavailable
from streams.settings import Settings

K = TypeVar("K")
V = TypeVar("V")

_QUICKLY_SECONDS = 5.0  # whoever can wait asks again
_TIMEOUT_SECONDS = 15.0

_OWED_SECONDS = 120.0
"""Twice the time after which librdkafka gives up an answer (socket.timeout.ms)."""

_LOCK = threading.Lock()
_CLIENTS: dict[str, AdminClient] = {}
_LET_DOWN: deque[tuple[float, AdminClient]] = deque()


def described(settings: Settings, topics: Iterable[Topic]) -> dict[Topic, TopicDescription]:
    """Those of the topics that are there. Raises Unavailable."""
    named = {settings.topic(topic): topic for topic in topics}
    names = TopicCollection(list(named))
    found = ask(
        settings.brokers,
        lambda client: client.describe_topics(names, request_timeout=_QUICKLY_SECONDS),
        but={KafkaError.UNKNOWN_TOPIC_OR_PART},
    )
    return {named[name]: description for name, description in found.items()}


def configured(settings: Settings, topics: Iterable[Topic]) -> dict[Topic, dict[str, str]]:
    """The settings of topics, which are there, by name. Raises Unavailable."""
    resources = {ConfigResource(ResourceType.TOPIC, settings.topic(topic)): topic for topic in topics}
    if not resources:
        return {}
    found = ask(
        settings.brokers,
        lambda client: client.describe_configs(list(resources), request_timeout=_TIMEOUT_SECONDS),
    )
    return {resources[each]: {name: entry.value for name, entry in config.items()} for each, config in found.items()}


def created(settings: Settings, topics: Sequence[Topic]) -> list[Topic]:
    """Make topics as declared, and say which were made: somebody else may have been quicker with the others. Raises Unavailable."""
    named = {settings.topic(topic): settings.declared(topic) for topic in topics}
    if not named:
        return []
    new = [NewTopic(name, topic.partitions, topic.replicas, config=topic.config) for name, topic in named.items()]
    made = ask(
        settings.brokers,
        lambda client: client.create_topics(new, request_timeout=_TIMEOUT_SECONDS),
        but={KafkaError.TOPIC_ALREADY_EXISTS},
    )
    return [topic for topic in topics if settings.topic(topic) in made]


def members(settings: Settings, agent: str) -> int:
    """How many workers an agent's group has. Raises Unavailable."""
    group = settings.group(agent)
    found = ask(
        settings.brokers,
        lambda client: client.describe_consumer_groups([group], request_timeout=_TIMEOUT_SECONDS),
    )
    return len(found[group].members)


def ask(
    brokers: str, question: Callable[[AdminClient], Mapping[K, Future[V]]], *, but: Collection[int] = ()
) -> dict[K, V]:
    """The answers, by what was asked; those left out that are one of the errors `but`. Raises Unavailable for any other error."""
    client = _client(brokers)
    with or_unavailable(brokers):
        try:
            return dict(_answers(question(client), but))
        except KafkaException:
            _let_down(brokers, client)
            raise


def _answers(futures: Mapping[K, Future[V]], but: Collection[int]) -> Iterator[tuple[K, V]]:
    for about, future in futures.items():
        try:
            yield about, future.result()
        except KafkaException as error:
            if error.args[0].code() not in but:
                raise


def _client(brokers: str) -> AdminClient:
    with _LOCK:
        if brokers not in _CLIENTS:
            _CLIENTS[brokers] = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
        return _CLIENTS[brokers]


def _let_down(brokers: str, client: AdminClient) -> None:
    now = time.monotonic()
    with _LOCK:
        if _CLIENTS.get(brokers) is client:
            _LET_DOWN.append((now, _CLIENTS.pop(brokers)))
        while _LET_DOWN and now - _LET_DOWN[0][0] > _OWED_SECONDS:
            _LET_DOWN.popleft()
