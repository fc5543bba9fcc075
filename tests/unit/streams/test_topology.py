from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from schemas.topics import ADMIT_CHANGELOG, ENRICH_CHANGELOG, EVENTS, GROUP_CHANGELOG, METRICS, TOPICS
from streams.settings import Settings
from streams.topology import FLOWS

pytestmark = pytest.mark.unit


@dataclass
class Measured:
    counted: list = field(default_factory=list)

    def count(self, metric, amount=1, **labels):
        self.counted.append((metric, amount, labels))

    def observe(self, metric, seconds, **labels):
        pass


def test_every_topic_is_read_by_exactly_one_agent_or_is_a_changelog():
    read = [topic.name for flow in FLOWS.values() for topic in flow.sources]
    assert sorted(read) == sorted(topic.name for topic in TOPICS if not topic.is_changelog)


def test_every_topic_but_the_first_is_published_by_an_agent_of_ours():
    published = {topic for flow in FLOWS.values() for topic in (*flow.publishes, flow.changelog) if topic}
    assert set(TOPICS) - published == {EVENTS, METRICS}
    assert all(METRICS in flow.topics for flow in FLOWS.values()), "every worker publishes its metrics"


def test_changelogs_have_as_many_partitions_as_what_they_stand_behind():
    for flow in FLOWS.values():
        if flow.changelog:
            assert {topic.partitions for topic in flow.sources} == {flow.changelog.partitions}


def test_a_changelog_is_one_agent_s_alone():
    assert [flow.changelog for flow in FLOWS.values() if flow.changelog] == [
        ADMIT_CHANGELOG,
        ENRICH_CHANGELOG,
        GROUP_CHANGELOG,
    ]


def test_enrich_takes_fewer_photos_at_once():
    settings = Settings(batch_records=1000, enrich_batch_records=7)
    assert {name: flow.batch_records(settings) for name, flow in FLOWS.items()} == {
        "admit": 1000,
        "enrich": 7,
        "resume": 1000,
        "group": 1000,
        "store": 1000,
    }


@pytest.mark.parametrize("name", ["admit", "group"])
async def test_an_agent_is_bound_to_what_it_needs(name):
    settings = Settings(hash_key="a key of thirty-two characters ..", remember=timedelta(days=3))
    async with FLOWS[name].open(settings, Measured()) as agent:
        assert callable(agent)
        assert agent.agent.func.__name__ == name
        assert agent.culprit.func.__name__ == f"of_{name}"
