"""What a worker refuses to go on from: each time one line that names a command, and after that command the worker starts and works."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions

from ops.database import database
from ops.prepare import prepare_database
from schemas import codec
from schemas.events import PhotoAdmitted, Root
from schemas.topics import ADMIT_CHANGELOG, ADMITTED, DEAD_LETTER, ENRICHED, EVENTS, GROUPED, METRICS
from streams import offsets, provision
from streams.claim import Changelog, Claim, Group, Source
from streams.position import Pending, Position
from streams.producer import PhotoProducer
from streams.topology import FLOWS
from tests.integration.engine_reading import records
from tests.integration.strange_world import Operator
from tests.support.builders import dead_letter, enriched, grouped, metric, uploaded

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PARTITION = 3  # where the owner of these tests is, of 8
OWNER = "owner-3"


@pytest.fixture
def operator(settings):
    provision.ensure(settings)
    operator = Operator(settings)
    yield operator
    operator.kill_workers()


@pytest.fixture
def store_operator(clickhouse_settings):
    provision.ensure(clickhouse_settings)
    prepare_database(clickhouse_settings)
    operator = Operator(clickhouse_settings)
    yield operator
    operator.kill_workers()


def upload(settings, *numbers):
    with PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:
        for number in numbers:
            producer.publish(uploaded(event_id=f"event-{number}", photo_id=f"photo-{number}", owner_id=OWNER))


def publish(settings, topic, *messages):
    producer = Producer({"bootstrap.servers": settings.brokers, "partitioner": "murmur2_random"})
    for key, event in messages:
        producer.produce(settings.topic(topic), codec.encode(event), key)
    assert producer.flush(30) == 0


def admitted(settings):
    """The event ids on photos.admitted, in order."""
    return sorted(codec.decode(message.value(), PhotoAdmitted).event_id for message in records(settings, ADMITTED))


def ids(*numbers):
    return sorted(f"event-{number}" for number in numbers)


def commit(settings, agent, topic, position, *, changelog=None):
    """As a worker of ours does; `position` is made of the topic's id."""
    (topic_id,) = provision.topic_ids(settings, [topic]).values()
    with closing(Group(settings.brokers, settings.group(agent))) as group:
        source = Source(settings.topic(topic), topic_id, PARTITION)
        claim = Claim(settings.brokers, group, source, changelog, at=position(topic_id))
        claim.begin()
        claim.commit(claim.position)


def query(settings, sql):
    with database(settings) as client:
        return client.query(sql).result_rows


def command_in(line):
    """The command that a line names, without the program's name."""
    return line.partition("`safelight offsets accept ")[2].partition("`")[0].split()


def accept(operator, line, *more, says=()):
    """Run the command that the line names; it says what it does."""
    told = operator.run("offsets", "accept", *command_in(line), "--yes", *more)
    told = " ".join(told.split())
    for words in says:
        assert words in told
    return told


# admit, whose memory is a changelog


def test_positions_that_expired_are_refused_and_read_again_nothing_is_doubled(operator):
    settings = operator.settings
    upload(settings, 1, 2, 3)
    operator.work_off("admit")
    operator.delete_positions("admit")
    line = operator.refused("admit")
    assert f"{settings.topic(EVENTS)}-{PARTITION} has expired or was deleted" in line
    assert "photos.admit.changelog has entries of the partition" in line
    row = operator.offsets("admit")[EVENTS.name, PARTITION]
    assert (row["note"], row["position"], row["refused"]) == ("nothing committed", None, line)
    accept(operator, line, says=["it becomes 0", "admit knows their ids"])
    upload(settings, 4)
    operator.work_off("admit")
    assert admitted(settings) == ids(1, 2, 3, 4)


def test_positions_that_another_tool_set_are_refused(operator):
    settings = operator.settings
    upload(settings, 1, 2, 3)
    operator.work_off("admit")
    operator.set_position("admit", EVENTS, PARTITION, 1)
    line = operator.refused("admit")
    assert "set by something else than safelight" in line
    assert operator.offsets("admit")[EVENTS.name, PARTITION]["note"] == "not ours"
    accept(operator, line, says=["it becomes 1"])
    upload(settings, 4)
    operator.work_off("admit")
    assert admitted(settings) == ids(1, 2, 3, 4)
    row = operator.offsets("admit")[EVENTS.name, PARTITION]
    assert (row["note"], row["refused"], row["behind_records"]) == ("ours", None, 0)


def test_a_topic_made_anew_whose_positions_went_with_it_is_refused(operator):
    settings = operator.settings
    upload(settings, 1, 2)
    operator.work_off("admit")
    operator.make_anew(EVENTS)
    upload(settings, 3)
    line = operator.refused("admit")
    assert "has expired or was deleted" in line, "a broker deletes a topic's positions with it"
    accept(operator, line, says=["if the topic was made anew, raise SAFELIGHT_GENERATION"])
    operator.work_off("admit", generation=2)
    assert admitted(settings) == ids(1, 2, 3)


def test_a_topic_made_anew_whose_positions_stayed_is_refused(operator):
    settings = operator.settings
    commit(settings, "admit", EVENTS, lambda topic_id: Position(1, "the earlier topic"))
    upload(settings, 1, 2)
    line = operator.refused("admit")
    assert "belongs to an earlier topic of the same name" in line
    accept(operator, line, says=["it becomes 0", "nobody had read, is lost", "raise SAFELIGHT_GENERATION"])
    operator.work_off("admit", generation=2)
    assert admitted(settings) == ids(1, 2)


def test_a_changelog_made_anew_is_refused(operator):
    settings = operator.settings
    upload(settings, 1, 2)
    operator.work_off("admit")
    operator.make_anew(ADMIT_CHANGELOG)
    line = operator.refused("admit")
    assert "a state whose changelog was made anew since, empty" in line
    accept(operator, line, says=["every event id is forgotten"])
    upload(settings, 1, 3)
    operator.work_off("admit")
    assert admitted(settings) == ids(1, 1, 2, 3), "what was forgotten is admitted again, as was said"


def test_records_that_left_the_log_unread_are_refused(operator):
    settings = operator.settings
    upload(settings, 1)
    operator.work_off("admit")
    upload(settings, 2, 3)
    operator.delete_records(EVENTS, PARTITION, 2)
    line = operator.refused("admit")
    assert "is 1, and the log has 2 to 3" in line
    accept(operator, line, says=["records 1 to 1 are passed over"])
    operator.work_off("admit")
    assert admitted(settings) == ids(1, 3)


def test_a_log_that_lost_its_end_is_refused(operator):
    settings = operator.settings
    upload(settings, 1)
    operator.work_off("admit")
    (changelog_id,) = provision.topic_ids(settings, [ADMIT_CHANGELOG]).values()
    changelog = Changelog(settings.topic(ADMIT_CHANGELOG), changelog_id, PARTITION)
    commit(settings, "admit", EVENTS, lambda topic_id: Position(70, topic_id), changelog=changelog)
    line = operator.refused("admit")
    assert "is 70, and the log has 0 to 1" in line
    accept(operator, line, says=["it becomes 1"])
    upload(settings, 2)
    operator.work_off("admit")
    assert admitted(settings) == ids(1, 2)


def test_another_number_of_partitions_is_refused(operator):
    settings = operator.settings
    for future in operator.admin.create_partitions([NewPartitions(settings.topic(EVENTS), 9)]).values():
        future.result(30)
    line = operator.refused("admit")
    assert "has 9 partitions, the contract says 8" in line
    assert "safelight topics --create" in line


def test_a_state_of_a_newer_version_is_refused_unless_it_is_forgotten(operator):
    settings = operator.settings
    upload(settings, 1, 2)
    operator.work_off("admit")
    (changelog_id,) = provision.topic_ids(settings, [ADMIT_CHANGELOG]).values()
    changelog = Changelog(settings.topic(ADMIT_CHANGELOG), changelog_id, PARTITION, format=ADMIT_CHANGELOG.format + 1)
    commit(settings, "admit", EVENTS, lambda topic_id: Position(2, topic_id), changelog=changelog)
    line = operator.refused("admit")
    assert "use a newer safelight" in line
    assert line.endswith("--to here --forget`")
    where = ("--topic", EVENTS.name, "--partition", str(PARTITION), "--to", "here", "--yes")
    assert "--forget" in operator.run("offsets", "accept", "admit", *where, code=1)
    assert "every event id is forgotten" in " ".join(
        operator.run("offsets", "accept", "admit", *where, "--forget").split()
    )
    upload(settings, 1, 3)
    operator.work_off("admit")
    assert admitted(settings) == ids(1, 1, 2, 3), "the state was empty"


def test_nothing_is_accepted_while_workers_live_nor_without_consent(operator):
    settings = operator.settings
    upload(settings, 1)
    worker = operator.start("admit")
    worker.wait_ready()
    told = operator.run("offsets", "accept", "admit", "--to", "beginning", "--yes", code=1)
    assert f"{settings.group('admit')} has 1 workers: stop them first" in told
    worker.stop()
    operator.set_position("admit", EVENTS, PARTITION, 0)
    told = operator.run("offsets", "accept", "admit", "--to", "here", code=1)
    assert "Accept this?" in told
    assert operator.offsets("admit")[EVENTS.name, PARTITION]["note"] == "not ours"
    operator.run("offsets", "accept", "admit", "--to", "here", "--yes", "--json")
    assert operator.offsets("admit")[EVENTS.name, PARTITION]["note"] == "ours"
    assert "nothing to accept" in operator.run("offsets", "accept", "admit", "--to", "here")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--to", "99", "--topic", EVENTS.name, "--partition", "3"), "outside the log"),
        (("--to", "end", "--topic", "photos.of.mine"), "does not read"),
        (("--to", "end", "--partition", "8"), "no partition 8"),
        (("--to", "here", "--partition", "3"), "nothing is committed"),
        (("--to", "soon"), "beginning, end, here, or an offset"),
    ],
)
def test_what_cannot_be_accepted_is_wrong_usage(operator, arguments, says):
    assert says in operator.run("offsets", "accept", "admit", *arguments, "--yes", code=2)


# enrich, which remembers nothing


def test_enrich_without_positions_is_harmless_since_group_drops_what_comes_again(operator):
    settings = operator.settings
    seen = enriched(owner_id=OWNER)
    publish(settings, ENRICHED, (OWNER.encode(), seen))
    operator.work_off("group")
    publish(settings, ENRICHED, (OWNER.encode(), seen))
    operator.work_off("group")
    assert len(list(records(settings, GROUPED))) == 1
    found = offsets.look(settings, [FLOWS["enrich"]], lambda topic, partition: "")
    assert [each.standing.fault for each in found] == [None] * settings.partitions


# store, whose memory is ClickHouse


def now():
    return datetime.now(UTC)


def photo(number):
    seen = enriched(owner_id=OWNER, photo_id=f"photo-{number}", root=Root(1, PARTITION, number), uploaded_at=now())
    return OWNER.encode(), grouped(seen)


def test_store_refuses_every_topic_whose_rows_are_there_without_a_position(store_operator):
    operator, settings = store_operator, store_operator.settings
    publish(settings, GROUPED, photo(1), photo(2))
    letter = dead_letter(root=Root(1, PARTITION, 9), rejected_at=now())
    publish(settings, DEAD_LETTER, (str(PARTITION).encode(), letter))
    up = metric(name="photos_worker_up", worker="somebody", labels={}, at=now(), value=1.0, buckets=[])
    publish(settings, METRICS, (b"somebody", up))
    operator.work_off("store")
    operator.delete_positions("store")
    line = operator.refused("store")
    assert "has expired or was deleted, and ClickHouse's" in line
    refused = {
        row["topic"].partition(".")[2]: row["refused"] for row in operator.offsets("store").values() if row["refused"]
    }
    assert set(refused) == {GROUPED.name, DEAD_LETTER.name, METRICS.name}
    assert "ClickHouse's photo_outcomes" in refused[GROUPED.name]
    assert "ClickHouse's dead_letters" in refused[DEAD_LETTER.name]
    told = operator.run("offsets", "accept", "store", "--to", "end", "--yes")
    assert "in photo_outcomes, dead_letters, metrics and their rollups they count twice" in " ".join(told.split())
    publish(settings, GROUPED, photo(3))
    operator.work_off("store")
    assert query(settings, "SELECT root_offset FROM photo_outcomes ORDER BY root_offset") == [(1,), (2,), (3,)]
    assert query(settings, "SELECT count() FROM dead_letters") == [(1,)]


def test_rows_pending_for_longer_than_clickhouse_remembers_are_refused(store_operator):
    operator, settings = store_operator, store_operator.settings
    publish(settings, GROUPED, photo(1), photo(2), photo(3))
    since = now() - timedelta(days=2)
    commit(settings, "store", GROUPED, lambda topic_id: Position(0, topic_id, Pending(1, since)))
    line = operator.refused("store")
    assert "has rows of offsets 0 to 1 pending since" in line
    assert "`--to 2` leaves them out" in line
    row = operator.offsets("store")[GROUPED.name, PARTITION]
    assert row["pending"]["last"] == 1
    assert row["pending"]["age_seconds"] > 47 * 3600
    assert row["refused"] == line
    accept(operator, line, says=["rows of records 0 to 1 are inserted again"])
    operator.work_off("store")
    assert query(settings, "SELECT root_offset FROM photo_outcomes ORDER BY root_offset") == [(1,), (2,), (3,)]


def test_a_window_that_is_worth_less_than_a_day_is_refused_until_it_is_widened(store_operator):
    operator, settings = store_operator, store_operator.settings
    narrow = "ALTER TABLE photo_outcomes MODIFY SETTING non_replicated_deduplication_window = 900000"
    with database(settings) as client:
        client.command(narrow)
    line = operator.refused("store", pending_age="PT1M")
    assert "remember too few inserts (900000 of 964000)" in line
    assert "`safelight migrate`" in line
    operator.run("migrate")
    publish(settings, GROUPED, photo(1))
    operator.work_off("store")
    assert query(settings, "SELECT count() FROM photo_outcomes") == [(1,)]
