"""Topics on the broker as schemas/topics.py declares them. Blocking."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from confluent_kafka import (
    KafkaError,
    KafkaException,
    TopicCollection,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it means to export them, and does not say so
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicDescription,
)

from schemas.errors import StrangeWorld, Unavailable
from schemas.topics import TOPICS, Topic
from streams.lag import lag  # noqa: F401 (tests/chaos/round.py asks for it here)
from streams.settings import Settings

_LOG = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 15.0
_QUICKLY_SECONDS = 5.0  # whoever can wait asks again
_PAUSE_SECONDS = 0.05


def ensure(settings: Settings) -> list[str]:
    """Create the topics that are missing and return their names on the broker; safe to repeat, and to run twice at once.

    Of those that exist, settings that differ from the declared ones are logged as warnings, since an operator may have meant
    them. Raises StrangeWorld for another number of partitions, which moves keys, and Unavailable without a broker.
    """
    found = _describe(settings, TOPICS)
    for topic, description in found.items():
        _check_partitions(settings, topic, description)
    made = _create(settings, [topic for topic in TOPICS if topic not in found])
    found = _wait_for(settings, TOPICS)
    for topic, description in found.items():
        _check_partitions(settings, topic, description)
        replicas = len(description.partitions[0].replicas)
        if replicas != settings.replication:
            _LOG.warning("%s has %d replica(s), declared are %d", description.name, replicas, settings.replication)
    for difference in _differences(settings, found):
        _LOG.warning("%s", difference)
    return [settings.topic(topic) for topic in made]


def topic_ids(settings: Settings, topics: Iterable[Topic]) -> dict[str, str]:
    """The broker's id of each topic, by its name there: what tells a topic from one made anew.

    Raises StrangeWorld when one is missing, has another number of partitions, or is a changelog that forgets what its agent has
    to know, and Unavailable without a broker.
    """
    found = _describe(settings, topics)
    for topic in topics:
        if topic not in found:
            raise StrangeWorld(
                f"{settings.brokers} has no topic {settings.topic(topic)}: run `safelight topics --create`"
            )
        _check_partitions(settings, topic, found[topic])
    _check_memory(settings, [topic for topic in topics if topic.is_changelog])
    return {description.name: str(description.topic_id) for description in found.values()}


def admin(settings: Settings) -> AdminClient:
    """The process's admin client."""
    return _admin_of(settings.brokers)


@cache
def _admin_of(brokers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": brokers, "log_level": 0})


_LET_DOWN: list[AdminClient] = []
"""Kept to the end of the process: librdkafka dies of an admin client that is dropped while a broker owes it an answer."""


def _let_down(settings: Settings) -> None:
    """After a time-out the next one asks has to be new: the old would wait for a controller that is gone."""
    _LET_DOWN.append(admin(settings))
    _admin_of.cache_clear()


def _describe(settings: Settings, topics: Iterable[Topic]) -> dict[Topic, TopicDescription]:
    """Those of the topics that are there."""
    named = {settings.topic(topic): topic for topic in topics}
    found = {}
    futures = admin(settings).describe_topics(TopicCollection(list(named)), request_timeout=_QUICKLY_SECONDS)
    for name, future in futures.items():
        try:
            found[named[name]] = future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                _let_down(settings)
                raise Unavailable("Kafka", f"{settings.brokers}: {error.args[0].str()}") from error
    return found


def _check_partitions(settings: Settings, topic: Topic, found: TopicDescription) -> None:
    if len(found.partitions) != settings.partitions_of(topic):
        raise StrangeWorld(
            f"{found.name} has {len(found.partitions)} partitions, the contract says {settings.partitions_of(topic)}: set "
            f"SAFELIGHT_PARTITIONS to what it was made with, or delete the topic and run `safelight topics --create`"
        )


class _Setting(NamedTuple):
    topic: str
    name: str
    actual: str
    declared: str

    @property
    def remedy(self) -> str:
        value = f"[{self.declared}]" if "," in self.declared else self.declared
        return f"`kafka-configs --alter --topic {self.topic} --add-config {self.name}={value}`"

    @property
    def forgets(self) -> bool:
        """Whether a changelog forgets by it what its agent, or a local store, still has to know."""
        if self.name == "cleanup.policy":
            return "delete" in self.actual and "delete" not in self.declared
        return self.name.endswith("retention.ms") and 0 <= int(self.actual) < int(self.declared)


def _check_memory(settings: Settings, changelogs: Iterable[Topic]) -> None:
    found = list(_settings(settings, changelogs))
    by_age = {setting.topic for setting in found if setting.name == "cleanup.policy" and "delete" in setting.actual}
    for setting in found:
        if setting.forgets and (setting.name != "retention.ms" or setting.topic in by_age):
            raise StrangeWorld(
                f"{setting.topic} forgets too soon what its agent has to remember ({setting.name} is {setting.actual}, not "
                f"{setting.declared}): {setting.remedy} makes it right, and `safelight topics` shows what is declared"
            )


def _differences(settings: Settings, found: Iterable[Topic]) -> list[str]:
    return [
        f"{setting.topic}: {setting.name} is {setting.actual}, declared is {setting.declared} ({setting.remedy} makes it so)"
        for setting in _settings(settings, found)
        if setting.actual != setting.declared
    ]


def _settings(settings: Settings, topics: Iterable[Topic]) -> Iterator[_Setting]:
    resources = {ConfigResource(ResourceType.TOPIC, settings.topic(topic)): topic for topic in topics}
    if not resources:
        return
    for resource, future in admin(settings).describe_configs(list(resources), request_timeout=_TIMEOUT_SECONDS).items():
        actual = future.result()
        for name, declared in settings.declared(resources[resource]).config.items():
            if name in actual:
                yield _Setting(resource.name, name, actual[name].value, declared)


def _create(settings: Settings, topics: list[Topic]) -> list[Topic]:
    """Those that were made: somebody else may have been quicker with the others."""
    if not topics:
        return []
    new = [
        NewTopic(settings.topic(topic), topic.partitions, topic.replicas, config=topic.config)
        for topic in map(settings.declared, topics)
    ]
    futures = admin(settings).create_topics(new)
    made = []
    for topic in topics:
        try:
            futures[settings.topic(topic)].result(_TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        else:
            made.append(topic)
    return made


def _wait_for(settings: Settings, topics: Sequence[Topic]) -> dict[Topic, TopicDescription]:
    """Until the broker's metadata has them all: a topic that was just made is not there at once."""
    end = time.monotonic() + _TIMEOUT_SECONDS
    while len(found := _describe(settings, topics)) < len(topics):
        if time.monotonic() > end:
            raise Unavailable("Kafka", f"topics made on {settings.brokers} do not appear")
        time.sleep(_PAUSE_SECONDS)
    return found
