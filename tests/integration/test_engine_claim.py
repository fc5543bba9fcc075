"""Claims, restores and pending ranges on a real broker."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.errors import StrangeWorld, Unavailable
from schemas.topics import ADMIT_CHANGELOG, ADMITTED, EVENTS
from streams import provision
from streams.claim import Changelog, Claim, Group, Message, Source
from streams.pending import read_range
from streams.position import Pending, Position
from streams.state import Store, restore, restored
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
    return lambda source=source, changelog=None: Claim(settings.brokers, group, source, changelog)


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


def test_a_transaction_that_does_not_end_is_named(settings, claim, group, source, monkeypatch):
    monkeypatch.setattr("streams.claim._TIMEOUT_SECONDS", 2.0)
    put(settings, 5)
    other = Producer({"bootstrap.servers": settings.brokers, "transactional.id": f"{settings.namespace}-other"})
    other.init_transactions(20)
    other.begin_transaction()
    here = TopicPartition(source.topic, source.partition, 3)
    other.send_offsets_to_transaction([here], group.metadata(), 20)
    with pytest.raises(
        Unavailable, match=rf"for 2 s it did not say where {group.name} stands in {source}.*find-hanging"
    ):
        claim()
    other.abort_transaction(20)
    assert claim().position.offset == 0


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


def test_every_commit_says_which_state_belongs_to_it(settings, claim, source, changelog):
    put(settings, 5)
    mine = claim(changelog=changelog)
    transact(mine, replace(mine.position, offset=2))
    again = claim(changelog=replace(changelog, format=2))
    assert again.position == Position(2, source.topic_id, format=2, changelog=changelog.topic_id)


def test_a_state_of_a_newer_format_is_refused_and_what_it_takes_is_a_newer_version(settings, claim, changelog):
    put(settings, 5)
    newer = claim(changelog=replace(changelog, format=2))
    transact(newer, replace(newer.position, offset=2))
    with pytest.raises(StrangeWorld, match=r"format 2, and this safelight reads 1: use a newer safelight"):
        claim(changelog=changelog)


def test_a_position_whose_state_was_made_anew_is_refused(settings, claim, changelog):
    put(settings, 5)
    owner = claim(changelog=changelog)
    transact(owner, replace(owner.position, offset=2))
    with pytest.raises(StrangeWorld, match="changelog was made anew"):
        claim(changelog=replace(changelog, topic_id="another"))


def test_a_store_that_is_ahead_of_a_changelog_that_lost_its_end_is_restored_from_its_beginning(
    settings, claim, changelog, tmp_path
):
    owner = claim()
    transact(owner, owner.position, changelog=changelog, changes={b"a": b"1"})
    store = Store(tmp_path / "store", changelog)
    store.apply({b"a": b"of an end that is lost"}, 700)
    assert restore(store, settings.brokers) == 1
    assert dict(store.items()) == {b"a": b"1"}
    store.close()


def test_a_store_is_restored_to_its_changelog_s_end(settings, claim, source, changelog, tmp_path):
    owner = claim()
    last = transact(owner, owner.position, changelog=changelog, changes={b"a": b"1", b"b": b"2", b"c": b"3"})
    assert last() == 2
    transact(owner, owner.position, changelog=changelog, changes={b"b": None, b"c": b"4"})
    transact(owner, None, changelog=changelog, changes={b"a": b"never committed"}, commit=False)
    heir = claim()
    store = restored(tmp_path / "store", heir, changelog, settings.brokers)
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
    owner.committed = False
    with pytest.raises(
        StrangeWorld, match=r"has expired or was deleted.*safelight offsets accept test .*--partition 3"
    ):
        restored(tmp_path / "store", owner, changelog, settings.brokers)
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
