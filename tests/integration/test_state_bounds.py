"""What a broker keeps of a state: as long as it has to be remembered, and a worker that finds less refuses."""

import re
from datetime import timedelta

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from schemas.errors import StrangeWorld
from schemas.topics import ADMIT_CHANGELOG, GROUP_CHANGELOG, TOPICS
from streams import provision
from tests.support.eventually import eventually

pytestmark = pytest.mark.integration

CHANGELOGS = [ADMIT_CHANGELOG, GROUP_CHANGELOG]


@pytest.fixture
def topics(settings):
    return Topics(settings)


class Topics:
    """The contract's topics on a broker, and their settings there."""

    def __init__(self, settings):
        self.settings = settings
        self._admin = AdminClient({"bootstrap.servers": settings.brokers})
        provision.ensure(settings)

    def config(self, topic):
        resource = ConfigResource(ResourceType.TOPIC, self.settings.topic(topic))
        return {
            name: entry.value for name, entry in self._admin.describe_configs([resource])[resource].result(30).items()
        }

    def alter(self, topic, **config):
        wanted = {name.replace("_", "."): value for name, value in config.items()}
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, self.settings.topic(topic), incremental_configs=entries)
        self._admin.incremental_alter_configs([resource])[resource].result(30)

        def seen():
            assert wanted.items() <= self.config(topic).items()

        eventually(seen, within=30, every=0.1)


def test_admit_s_memory_is_kept_for_as_long_as_it_is_told_and_group_s_for_ever(settings):
    topics = Topics(settings.model_copy(update={"remember": timedelta(days=3)}))
    admit, group = (topics.config(topic) for topic in CHANGELOGS)
    assert (admit["cleanup.policy"], admit["retention.ms"]) == ("compact,delete", str(10 * 24 * 3600 * 1000))
    assert group["cleanup.policy"] == "compact"
    assert admit["delete.retention.ms"] == group["delete.retention.ms"] == str(24 * 3600 * 1000)


@pytest.mark.parametrize(
    ("topic", "config"),
    [
        (ADMIT_CHANGELOG, {"retention_ms": "60000"}),
        (ADMIT_CHANGELOG, {"delete_retention_ms": "60000"}),
        (GROUP_CHANGELOG, {"delete_retention_ms": "60000"}),
        (GROUP_CHANGELOG, {"cleanup_policy": "delete"}),
        (GROUP_CHANGELOG, {"cleanup_policy": "compact,delete"}),
    ],
)
def test_a_changelog_that_forgets_too_soon_is_refused_with_the_command_that_mends_it(topics, topic, config):
    topics.alter(topic, **config)
    with pytest.raises(StrangeWorld, match="forgets too soon") as refusal:
        provision.topic_ids(topics.settings, CHANGELOGS)
    altered, name, value = re.search(
        r"`kafka-configs --alter --topic (\S+) --add-config ([a-z.]+)=(\S+)`", str(refusal.value)
    ).groups()
    assert altered == topics.settings.topic(topic)
    topics.alter(topic, **{name.replace(".", "_"): value.strip("[]")})
    assert len(provision.topic_ids(topics.settings, CHANGELOGS)) == 2


@pytest.mark.parametrize(
    ("topic", "config"),
    [
        (ADMIT_CHANGELOG, {"retention_ms": "-1"}),
        (ADMIT_CHANGELOG, {"cleanup_policy": "compact", "retention_ms": "60000"}),
        (GROUP_CHANGELOG, {"delete_retention_ms": str(14 * 24 * 3600 * 1000)}),
    ],
)
def test_one_that_keeps_more_is_only_told(topics, topic, config, caplog):
    topics.alter(topic, **config)
    assert len(provision.topic_ids(topics.settings, CHANGELOGS)) == 2
    assert provision.ensure(topics.settings) == []
    assert "kafka-configs --alter" in caplog.text


def test_remembering_for_longer_needs_a_changelog_that_does(topics):
    longer = topics.settings.model_copy(update={"remember": timedelta(days=60)})
    with pytest.raises(StrangeWorld, match=r"retention\.ms=5788800000"):
        provision.topic_ids(longer, TOPICS)
