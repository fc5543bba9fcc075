"""Topics as declared, lags as they are, and where an upload service's events land."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from schemas import codec
from schemas.errors import StrangeWorld, Unavailable
from schemas.events import PhotoUploaded
from schemas.partitioning import partition_of
from schemas.topics import EVENTS, TOPICS
from streams import provision
from streams.claim import Claim, Group, Source
from streams.lag import lag
from streams.position import Position
from streams.producer import PhotoProducer
from streams.topology import FLOWS
from tests.integration.engine_reading import records
from tests.support.builders import uploaded

pytestmark = pytest.mark.integration


def make(settings, topic, *, partitions=8, **config):
    admin = AdminClient({"bootstrap.servers": settings.brokers})
    for future in admin.create_topics([NewTopic(settings.topic(topic), partitions, 1, config=config)]).values():
        future.result(30)


def test_topics_are_made_as_declared_and_the_second_time_there_is_nothing_to_do(settings, caplog):
    assert provision.ensure(settings) == [settings.topic(topic) for topic in TOPICS]
    assert provision.ensure(settings) == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert len(provision.topic_ids(settings, TOPICS)) == len(TOPICS)


def test_two_at_once_are_in_nobody_s_way(settings):
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(provision.ensure, settings) for _ in range(2)]
    assert all(set(future.result()) <= {settings.topic(topic) for topic in TOPICS} for future in both)
    assert len(provision.topic_ids(settings, TOPICS)) == len(TOPICS)


def test_another_number_of_partitions_is_refused(settings):
    make(settings, EVENTS, partitions=3)
    with pytest.raises(StrangeWorld, match="has 3 partitions, the contract says 8"):
        provision.ensure(settings)
    with pytest.raises(StrangeWorld, match="has 3 partitions"):
        provision.topic_ids(settings, [EVENTS])


def test_a_missing_topic_is_told_with_the_command_that_makes_it(settings):
    with pytest.raises(StrangeWorld, match="safelight topics --create"):
        provision.topic_ids(settings, [EVENTS])


def test_another_setting_is_said_with_the_command_that_mends_it_and_left_alone(settings, caplog):
    make(settings, EVENTS, **{"message.timestamp.type": "CreateTime", "cleanup.policy": "compact"})
    provision.ensure(settings)
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "message.timestamp.type is CreateTime" in said
    assert "--add-config cleanup.policy=delete" in said


def test_no_broker_is_unavailable(settings):
    nobody = settings.model_copy(update={"brokers": "127.0.0.1:1"})
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        provision.topic_ids(nobody, [EVENTS])


def test_lag_is_what_is_not_committed(settings):
    provision.ensure(settings)
    with PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:
        for number in range(300):
            producer.publish(uploaded(event_id=str(number), owner_id="owner-1"))
    number = partition_of(b"owner-1", 8)
    assert {each.partition: each.records for each in lag(settings, [FLOWS["admit"]]) if each.records} == {number: 300}
    (topic_id,) = provision.topic_ids(settings, [EVENTS]).values()
    with closing(Group(settings.brokers, settings.group("admit"))) as group:
        claim = Claim(settings.brokers, group, Source(settings.topic(EVENTS), topic_id, number))
        for position, left in ((200, 100), (295, 5), (300, 0)):
            claim.begin()
            claim.commit(Position(position, topic_id))
            assert sum(each.records for each in lag(settings, [FLOWS["admit"]])) == left


def test_an_owner_s_events_land_where_the_contract_says_and_keep_their_order(settings):
    provision.ensure(settings)
    with PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:
        for number in range(200):
            producer.publish(uploaded(event_id=str(number), owner_id=f"owner-{number % 20}"))
    seen = {}
    for message in records(settings, EVENTS):
        event = codec.decode(message.value(), PhotoUploaded)
        assert message.key() == event.owner_id.encode()
        assert message.partition() == partition_of(message.key(), 8)
        seen.setdefault(event.owner_id, []).append(int(event.event_id))
    assert len(seen) == 20
    assert all(numbers == sorted(numbers) for numbers in seen.values())
