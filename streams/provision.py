"""Topics on the broker as schemas/topics.py declares them. Blocking."""

import logging
import time
from collections.abc import Iterable, Sequence

from confluent_kafka.admin import TopicDescription  # type: ignore[attr-defined]  # it means to export it, and does not say so

from schemas.errors import StrangeWorld, Unavailable
from schemas.topics import TOPICS, Topic
from streams import admin
from streams.settings import Settings
from streams.topic_settings import check_memory, differences

_LOG = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 15.0
_PAUSE_SECONDS = 0.05


def ensure(settings: Settings) -> list[str]:
    """Create the topics that are missing and return their names on the broker; safe to repeat, and to run twice at once.

    Of those that exist, settings that differ from the declared ones are logged as warnings, since an operator may have meant
    them. Raises StrangeWorld for another number of partitions, which moves keys, and Unavailable when the broker is not there or
    does not make them.
    """
    found = admin.described(settings, TOPICS)
    for topic, description in found.items():
        _check_partitions(settings, topic, description)
    made = admin.created(settings, [topic for topic in TOPICS if topic not in found])
    found = _wait_for(settings, TOPICS)
    for topic, description in found.items():
        _check_partitions(settings, topic, description)
        replicas = len(description.partitions[0].replicas)
        if replicas != settings.replication:
            _LOG.warning("%s has %d replica(s), declared are %d", description.name, replicas, settings.replication)
    for difference in differences(settings, found):
        _LOG.warning("%s", difference)
    return [settings.topic(topic) for topic in made]


def topic_ids(settings: Settings, topics: Iterable[Topic]) -> dict[str, str]:
    """The broker's id of each topic, by its name there: what tells a topic from one made anew.

    Raises StrangeWorld when one is missing, has another number of partitions, or is a changelog that forgets what its agent has
    to know, and Unavailable without a broker.
    """
    found = admin.described(settings, topics)
    for topic in topics:
        if topic not in found:
            raise StrangeWorld(
                f"{settings.brokers} has no topic {settings.topic(topic)}: run `safelight topics --create`"
            )
        _check_partitions(settings, topic, found[topic])
    check_memory(settings, [topic for topic in topics if topic.is_changelog])
    return {description.name: str(description.topic_id) for description in found.values()}


def _check_partitions(settings: Settings, topic: Topic, found: TopicDescription) -> None:
    if len(found.partitions) != settings.partitions_of(topic):
        raise StrangeWorld(
            f"{found.name} has {len(found.partitions)} partitions, the contract says {settings.partitions_of(topic)}: set "
            f"SAFELIGHT_PARTITIONS to what it was made with, or delete the topic and run `safelight topics --create`"
        )


def _wait_for(settings: Settings, topics: Sequence[Topic]) -> dict[Topic, TopicDescription]:
    """Until the broker's metadata has them all: a topic that was just made is not there at once."""
    end = time.monotonic() + _TIMEOUT_SECONDS
    while len(found := admin.described(settings, topics)) < len(topics):
        if time.monotonic() > end:
            raise Unavailable("Kafka", f"topics made on {settings.brokers} do not appear")
        time.sleep(_PAUSE_SECONDS)
    return found
