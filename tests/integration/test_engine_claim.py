"""Claims, restores and pending ranges on a real broker."""

from contextlib import closing
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.errors import StrangeWorld
from schemas.topics import ADMIT_CHANGELOG, ADMITTED, EVENTS
from streams import provision
from streams.claim import Claim, Group, Message, Source
from streams.pending import read_range
from streams.position import Pending, Position
from streams.state import Changelog, Store, restore, restored
from tests.integration.engine_reading import records

pytestmark = pytest.mark.integration


@pytest.fixture
def ids(settings):
    provision.ensure(settings)
    return provision.topic_ids(settings, [EVENTS, ADMITTED, ADMIT_CHANGELOG])


@pytest.fixture
def group(settings):
    with closing(Group(settings.brokers, settings.group("test"))) as group:
        yield group


@pytest.fixture
def source(settings, ids):
    name = settings.topic(EVENTS)
    return Source(name, ids[name], 3)


@pytest.fixture
def claim(settings, group, source):
    return lambda source=source: Claim(settings.brokers, group, source)


@pytest.fixture
def changelog(settings, ids):
    name = settings.topic(ADMIT_CHANGELOG)
    return Changelog(name, ids[name], 3)


def put(settings, count):
    producer = Producer({"bootstrap.servers": settings.brokers})
    for number in range(count):
        producer.produce(settings.topic(EVENTS), b"%d" % number, partition=3)
    assert producer.flush(30) == 0


def transact(claim, position, *, messages=(), changelog=None, changes=None, commit=True):
    claim.begin()
    claim.publish(messages)
    last = claim.publish_changes(changelog.topic if changelog else "", changes or {})
    if commit:
        claim.commit(position)
    return last


def test_a_partition_begins_where_its_log_does(claim, source):
    new = claim()
    assert (new.position, new.committed) == (Position(0, source.topic_id), False)


def test_what_was_committed_comes_back_with_its_note(settings, claim, source):
    put(settings, 5)
    position = Position(2, source.topic_id, Pending(4, datetime(2026, 3, 1, tzinfo=UTC)))
    transact(claim(), position)
    again = claim()
    assert (again.position, again.committed) == (position, True)


def test_who_claims_a_partition_fences_whoever_had_it(settings, claim, source):
    put(settings, 5)
    old, new = claim(), claim()
    with pytest.raises(KafkaException, match=r"(?i)fenced|epoch"):
        transact(old, Position(1, source.topic_id), messages=[Message(settings.topic(ADMITTED), b"k", b"of the old")])
    transact(new, Position(2, source.topic_id), messages=[Message(settings.topic(ADMITTED), b"k", b"of the new")])
    assert [message.value() for message in records(settings, ADMITTED)] == [b"of the new"]
    assert claim().position.offset == 2


def test_who_claims_a_partition_aborts_what_was_left_open_at_once(settings, claim, source):
    put(settings, 5)
    dead = claim()
    transact(dead, None, messages=[Message(settings.topic(ADMITTED), b"k", b"left open")], commit=False)
    began = datetime.now(UTC)
    heir = claim()
    assert (datetime.now(UTC) - began).total_seconds() < 10, "it waited for a time-out"
    transact(heir, Position(1, source.topic_id))
    assert list(records(settings, ADMITTED)) == []


def test_a_position_that_somebody_else_set_is_refused(settings, claim, group, source):
    put(settings, 5)
    with closing(Consumer({"bootstrap.servers": settings.brokers, "group.id": group.name})) as other:
        other.commit(offsets=[TopicPartition(source.topic, source.partition, 3)], asynchronous=False)
    with pytest.raises(StrangeWorld, match="something else than safelight"):
        claim()


def test_a_position_of_an_earlier_topic_of_the_same_name_is_refused(settings, claim, source):
    put(settings, 5)
    transact(claim(), Position(3, "the earlier topic's id"))
    with pytest.raises(StrangeWorld, match="earlier topic"):
        claim()


def test_a_position_outside_the_log_is_refused(settings, claim, source):
    put(settings, 5)
    transact(claim(), Position(2, source.topic_id))
    admin = AdminClient({"bootstrap.servers": settings.brokers})
    for future in admin.delete_records([TopicPartition(source.topic, source.partition, 4)]).values():
        future.result(30)
    with pytest.raises(StrangeWorld, match="is 2, and the log has 4 to 5"):
        claim()


def test_a_store_is_restored_to_its_changelog_s_end(settings, claim, source, changelog, tmp_path):
    owner = claim()
    last = transact(owner, owner.position, changelog=changelog, changes={b"a": b"1", b"b": b"2", b"c": b"3"})
    assert last() == 2
    transact(owner, owner.position, changelog=changelog, changes={b"b": None, b"c": b"4"})
    transact(owner, None, changelog=changelog, changes={b"a": b"never committed"}, commit=False)
    heir = claim()
    store = restored(tmp_path / "store", changelog, settings.brokers, began=heir.committed)
    assert dict(store.items()) == {b"a": b"1", b"c": b"4"}
    # The end is a marker, which is never delivered; and only what is new is read again.
    assert restore(store, settings.brokers) == 0
    transact(heir, heir.position, changelog=changelog, changes={b"d": b"5"})
    assert restore(store, settings.brokers) == 1
    assert store.get_many([b"d"]) == [b"5"]
    store.close()


def test_a_state_without_a_position_is_refused(settings, claim, changelog, tmp_path):
    owner = claim()
    transact(owner, owner.position, changelog=changelog, changes={b"a": b"1"})
    with pytest.raises(StrangeWorld, match="no position any more"):
        restored(tmp_path / "store", changelog, settings.brokers, began=False)
    # It was closed, and can be opened.
    Store(tmp_path / "store", changelog).close()


def test_a_pending_range_is_read_as_it_was_whatever_lies_between(settings, claim, source, ids):
    target = settings.topic(ADMITTED)
    here = Source(target, ids[target], 3)

    def message(value):
        return Message(target, b"key", value, 3)

    owner = claim()
    transact(owner, owner.position, messages=[message(b"0"), message(b"1")])  # offsets 0, 1, and a marker
    transact(owner, None, messages=[message(b"aborted")], commit=False)
    owner = claim()
    transact(owner, owner.position, messages=[message(b"2"), message(b"3")])
    everything = [(record.offset(), record.value()) for record in records(settings, ADMITTED)]
    assert [value for _, value in everything] == [b"0", b"1", b"2", b"3"]
    first, last = everything[1][0], everything[2][0]
    assert [record.value for record in read_range(settings.brokers, here, first, last)] == [b"1", b"2"]


def test_a_pending_range_that_the_log_does_not_have_any_more_is_refused(settings, source):
    put(settings, 5)
    admin = AdminClient({"bootstrap.servers": settings.brokers})
    for future in admin.delete_records([TopicPartition(source.topic, source.partition, 2)]).values():
        future.result(30)
    with pytest.raises(StrangeWorld, match="the log begins at 2"):
        read_range(settings.brokers, source, 1, 3)
