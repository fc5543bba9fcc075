"""Topics, metrics and reasons: what is declared once must hang together."""

from datetime import timedelta

import pytest

from schemas import events, metrics, topics
from schemas.errors import Reason
from streams.settings import Settings

pytestmark = pytest.mark.unit


def test_every_reason_says_what_to_do():
    assert all(reason.advice.endswith(".") for reason in Reason)


def test_topics_carry_only_declared_events():
    names = {event.__name__ for event in events.EVENTS}
    assert all(set(topic.records) <= names for topic in topics.TOPICS)


def test_event_topics_delete_and_changelogs_compact():
    for topic in topics.TOPICS:
        policies = topic.config["cleanup.policy"].split(",")
        assert ("compact" in policies) == topic.is_changelog == (not topic.records)
        assert ("delete" in policies) == (topic.retention is not None)
        assert topic.config["message.timestamp.type"] == "LogAppendTime"


def test_what_admit_remembers_is_bounded_by_time_and_what_group_knows_is_not():
    assert topics.ADMIT_CHANGELOG.config["cleanup.policy"] == "compact,delete"
    assert topics.GROUP_CHANGELOG.config["cleanup.policy"] == "compact"


def test_an_id_is_kept_until_a_repeat_that_came_just_in_time_is_surely_read():
    assert topics.ADMIT_CHANGELOG.retention == topics.REMEMBER + topics.EVENTS.retention
    assert topics.ADMIT_CHANGELOG.config["retention.ms"] == str(37 * 24 * 3600 * 1000)


def test_changelogs_say_how_long_a_deletion_can_be_seen():
    for topic in topics.TOPICS:
        kept = topic.config.get("delete.retention.ms")
        assert kept == (str(int(topics.TOMBSTONES_KEPT.total_seconds() * 1000)) if topic.is_changelog else None)


def test_events_are_kept_for_a_week():
    assert topics.EVENTS.retention == timedelta(days=7)
    assert topics.EVENTS.config["retention.ms"] == "604800000"


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, "1"), (2, "1"), (3, "2")])
def test_of_three_replicas_two_have_what_is_acknowledged(replicas, in_sync):
    declared = Settings(replication=replicas).declared(topics.EVENTS)
    assert declared.replicas == replicas
    assert declared.config["min.insync.replicas"] == in_sync


def test_counters_end_in_total_and_others_do_not():
    for metric in metrics.METRICS.values():
        assert metric.name.endswith("_total") == (metric.kind is metrics.Kind.COUNTER)


@pytest.mark.parametrize("seconds", [0.0, 0.0005, 0.001, 0.0011, 0.0012, 0.25, 1.0, 3600.0])
def test_a_duration_lies_within_its_bucket(seconds):
    index = metrics.bucket_of(seconds)
    bound = metrics.GROWTH**index
    assert seconds * 1000 <= bound * (1 + 1e-9)
    assert index == 0 or seconds * 1000 > bound / metrics.GROWTH * (1 - 1e-9)
