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
        policy = topic.config["cleanup.policy"]
        assert policy == ("delete" if topic.records else "compact")
        assert topic.config["message.timestamp.type"] == "LogAppendTime"


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
