"""The account of a chaos round has teeth: a round by real workers accounts exact, and whatever is then done to it is named."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from ops.database import database
from ops.prepare import prepare_database
from schemas import codec
from schemas.events import PhotoUploaded, Root
from schemas.partitioning import partition_of
from schemas.tables import TABLES
from schemas.topics import (
    ADMIT_CHANGELOG,
    ADMITTED,
    DEAD_LETTER,
    ENRICHED,
    EVENTS,
    GROUP_CHANGELOG,
    GROUPED,
    METRICS,
    TOPICS,
)
from streams import provision
from streams.position import Pending
from streams.settings import Settings
from tests.chaos.account import account
from tests.chaos.records import Unsettled, positions, reading
from tests.chaos.sent import Fate, Sent
from tests.support.backbone import SAMPLES
from tests.support.builders import admitted, dead_letter, enriched, grouped, metric
from tests.support.eventually import eventually
from tests.support.providers import namespace
from tests.support.variables import variables

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PARTITIONS = 2
AGENTS = ("admit", "enrich", "group", "store")
BAD = {"cut-short.jpg": "damaged_photo", "not-a-photo.jpg": "not_a_photo"}


@dataclass
class Round:
    """A round that is over: workers stopped, everything as they left it."""

    settings: Settings
    sent: list[Sent]

    def account(self):
        return account(self.settings, self.sent)

    @property
    def database(self):
        return self.settings.database

    def query(self, sql):
        with database(self.settings) as client:
            return client.query(sql).result_rows

    def command(self, sql):
        with database(self.settings) as client:
            client.command(sql, settings={"insert_deduplicate": 0, "async_insert": 0, "mutations_sync": 2})

    def produce(self, records):
        """Of each: topic, value, key, partition and, if it matters, the broker's time."""
        producer = Producer({"bootstrap.servers": self.settings.brokers})
        for topic, value, key, partition, *timestamp in records:
            producer.produce(
                self.settings.topic(topic), value, key, partition, **({"timestamp": timestamp[0]} if timestamp else {})
            )
        assert producer.flush(30) == 0

    def commit_metrics(self, stands):
        """Where store stands in each partition of ops.metrics."""
        config = {"bootstrap.servers": self.settings.brokers, "group.id": self.settings.group("store")}
        name = self.settings.topic(METRICS)
        offsets = [TopicPartition(name, partition, stand.offset, stand.note) for partition, stand in stands.items()]
        with closing(Consumer(config)) as consumer:
            consumer.commit(offsets=offsets, asynchronous=False)


# The round, by real workers


@pytest.fixture(scope="module")
def whole(kafka, clickhouse, triton, tmp_path_factory):
    folder = tmp_path_factory.mktemp("account")
    settings = Settings(
        brokers=kafka.bootstrap,
        namespace=namespace(),
        partitions=PARTITIONS,
        data=folder / "data",
        hash_key="a key of this test",
        object_roots=(SAMPLES.as_uri(),),
        triton=triton.grpc,
        models=("scene_label",),
        clickhouse_url=clickhouse.url,
    )
    provision.ensure(settings)
    prepare_database(settings)
    workers = [worker(settings, agent, folder) for agent in AGENTS]
    try:
        round_ = Round(settings, feed(settings))
        eventually(lambda: assert_done(round_, workers), within=240, every=0.5)
    finally:
        for process in workers:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(30) for process in workers]
    assert codes == [0] * len(workers)
    return round_


def worker(settings, agent, folder):
    environment = variables(settings) | {"SAFELIGHT_METRICS_INTERVAL": "PT0.2S"}
    with (folder / f"{agent}.log").open("w") as log:
        command = [sys.executable, "-m", "ops", "worker", agent]
        return subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)


def assert_done(round_, workers):
    assert all(process.poll() is None for process in workers)
    outcomes = sum(each.fate in {Fate.ENRICHED, Fate.REJECTED} for each in round_.sent)
    letters = sum(each.fate in {Fate.REJECTED, Fate.DEAD_LETTER} for each in round_.sent)
    found = [round_.query(f"SELECT count() FROM {table}")[0][0] for table in ("photo_outcomes", "dead_letters")]
    assert found == [outcomes, letters]


def feed(settings):
    """Every fate, of a few owners; the list of what was acknowledged."""
    sent = []
    producer = Producer({"bootstrap.servers": settings.brokers})

    def send(event, fate, reason="", *, partition=None):
        is_event = isinstance(event, PhotoUploaded)
        value = codec.encode(event) if is_event else event
        key = event.owner_id.encode() if is_event else b"nobody"
        ids = {name: getattr(event, name) for name in ("owner_id", "photo_id", "event_id")} if is_event else {}

        def acknowledged(error, message):
            assert error is None
            sent.append(Sent(message.partition(), message.offset(), value, fate, reason, **ids))

        where = partition_of(key, settings.partitions) if partition is None else partition
        producer.produce(settings.topic(EVENTS), value, key, where, on_delivery=acknowledged)

    for owner in ("alice", "bob", "carol", "dave"):
        right = [described(owner, path) for path in sorted(SAMPLES.glob("*.*g"))]
        for event in right:
            reason = BAD.get(event.photo_id, "")
            send(event, Fate.REJECTED if reason else Fate.ENRICHED, reason)
        for event in right[:3]:
            send(event, Fate.REPEAT)
        first = right[0]
        send(replace(first, photo_id="reused", content_sha256=bytes(32)), Fate.REJECTED, "event_id_reused")
        send(replace(first, event_id="empty", photo_id="empty", size_bytes=0), Fate.REJECTED, "invalid_event")
        wrong = replace(first, event_id="misplaced", photo_id="misplaced")
        elsewhere = 1 - partition_of(owner.encode(), settings.partitions)
        send(wrong, Fate.REJECTED, "wrong_partition", partition=elsewhere)
        send(b'{"photo": "as JSON"}', Fate.DEAD_LETTER, "unreadable_event")
    assert producer.flush(30) == 0
    return sent


def described(owner, path):
    content = path.read_bytes()
    return PhotoUploaded(
        event_id=f"upload of {path.name}",
        photo_id=path.name,
        owner_id=owner,
        object_uri=path.as_uri(),
        content_sha256=sha256(content).digest(),
        size_bytes=len(content),
        media_type="image/jpeg",
        uploaded_at=datetime.now(UTC),
        source="test",
    )


# A copy of it for each test to damage


@pytest.fixture
def copy(whole):
    return copied(whole)


def copied(whole, rearranged=lambda topic, records: records):
    """The same in topics and a database of its own: the broker's times and ClickHouse's are those of the original."""
    settings = whole.settings.model_copy(update={"namespace": namespace()})
    copy = Round(settings, whole.sent)
    make_topics(settings)
    with reading(whole.settings) as log:
        copy.produce(
            (topic, record.value, record.key, partition, record.timestamp)
            for topic in TOPICS
            for partition in log.partitions(topic)
            for record in rearranged(topic, log.read(topic, partition))
        )
    stands = positions(whole.settings, "store", METRICS)
    copy.commit_metrics({partition: stand for partition, stand in enumerate(stands) if stand})
    prepare_database(settings)
    for table in TABLES:
        every = copy.query(
            f"SELECT name FROM system.columns WHERE database = '{copy.database}' AND table = '{table.name}' "
            "AND default_kind != 'MATERIALIZED'"
        )
        columns = ", ".join(f"`{column}`" for (column,) in every)
        copy.command(f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM `{whole.database}`.{table.name}")
    return copy


def make_topics(settings):
    admin = AdminClient({"bootstrap.servers": settings.brokers})
    new = [
        NewTopic(
            settings.topic(topic),
            settings.partitions_of(topic),
            config=topic.config | {"message.timestamp.type": "CreateTime"},
        )
        for topic in TOPICS
    ]
    for future in admin.create_topics(new).values():
        future.result(10)


# Exact


def test_a_round_by_real_workers_is_exact_and_what_was_not_compared_is_named(whole):
    found = whole.account()
    assert found.exact, "\n".join(found.examples)
    assert (found.published, found.settled, found.examples) == (len(whole.sent), len(whole.sent), [])
    assert found.excluded_columns == {
        "photos.admitted": ["admitted_at"],
        "photos.enriched": ["enriched_at", "rejected_at"],
        "photos.dead_letter": ["rejected_at"],
        "ops.metrics": ["*"],
        "migrations": ["*"],
        "audit": ["*"],
        "photo_outcomes_by_minute": ["latency_milliseconds", "latency_buckets"],
        **{table.name: ["stored_at"] for table in TABLES},
    }


def test_what_was_aborted_and_what_was_measured_when_store_was_gone_is_not_missed(copy):
    producer = Producer({"bootstrap.servers": copy.settings.brokers, "transactional.id": copy.database})
    producer.init_transactions(10)
    producer.begin_transaction()
    for topic, event in BY_HAND.values():
        producer.produce(copy.settings.topic(topic), codec.encode(event), b"owner-1", 0)
    producer.flush(10)
    producer.abort_transaction(10)
    copy.produce([(METRICS, codec.encode(metric()), b"enrich", 0)])
    found = copy.account()
    assert found.exact, "\n".join(found.examples)


# Tables


def test_an_outcome_that_is_there_twice_is_found(copy):
    copy.command("INSERT INTO photo_outcomes SELECT * FROM photo_outcomes LIMIT 1")
    found = copy.account()
    # The rollup has counted it too: it is what its table comes to.
    assert (found.mismatched, found.lost, found.duplicated) == (["photo_outcomes"], 0, 1)
    assert found.settled == found.published - 1
    assert any("1 more than must be" in line for line in found.examples)


def test_a_replacing_table_that_was_sent_a_row_twice_is_found_before_a_merge_hides_it(copy):
    for table in ("photo_enrichments", "photo_embeddings"):
        copy.command(f"SYSTEM STOP MERGES {table}")
        copy.command(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1")
    assert copy.account().mismatched == ["photo_embeddings", "photo_enrichments"]


@pytest.mark.parametrize(
    ("table", "rollups", "lost"),
    [
        ("photo_outcomes", ["photo_outcomes_by_minute"], 1),
        ("photo_enrichments", [], 1),
        ("photo_embeddings", [], 0),
        ("dead_letters", [], 1),
        ("metrics", ["metrics_by_minute"], 0),
    ],
)
def test_a_row_that_is_missing_is_found(copy, table, rollups, lost):
    copy.command(f"ALTER TABLE {table} DELETE WHERE {one_of(copy, table)}")
    found = copy.account()
    assert sorted(found.mismatched) == sorted([table, *rollups])
    assert (found.lost, found.duplicated) == (lost, 0)
    assert any("1 fewer than must be" in line for line in found.examples)


def test_values_that_differ_are_found_table_by_table(copy):
    changes = {
        "metrics": "labels = map('topic', 'another')",
        "photo_embeddings": "embedding = arrayReverse(embedding)",
        "photo_enrichments": "`labels.score` = arrayMap(score -> score * 1.0000002, `labels.score`)",
        "photo_outcomes": "uploaded_at = uploaded_at - INTERVAL 1 MILLISECOND",
    }
    for table, change in changes.items():
        copy.command(f"ALTER TABLE {table} UPDATE {change} WHERE {one_of(copy, table)}")
    # Rollups are what their tables were before.
    assert copy.account().mismatched == [*changes, "metrics_by_minute", "photo_outcomes_by_minute"]


@pytest.mark.parametrize("rollup", ["photo_outcomes_by_minute", "metrics_by_minute"])
def test_a_rollup_that_has_counted_twice_is_found(copy, rollup):
    copy.command(f"INSERT INTO {rollup} SELECT * FROM {rollup} LIMIT 1")
    found = copy.account()
    assert (found.mismatched, found.lost, found.duplicated) == ([rollup], 0, 0)


def test_a_rollup_that_has_missed_is_found(copy):
    copy.command("TRUNCATE TABLE metrics_by_minute")
    assert copy.account().mismatched == ["metrics_by_minute"]


LATER = (
    "latency_milliseconds = latency_milliseconds + 5, latency_buckets = mapApply((k, v) -> (k + 1, v), latency_buckets)"
)
EARLIER = "latency_buckets = mapApply((k, v) -> (k - 1, v), latency_buckets)"
FEWER = "latency_buckets = mapApply((k, v) -> (k, v - 1), latency_buckets)"


@pytest.mark.parametrize(
    ("change", "mismatched"),
    [
        (LATER, []),
        ("latency_milliseconds = latency_milliseconds - 5", ["photo_outcomes_by_minute"]),
        (EARLIER, ["photo_outcomes_by_minute"]),
        (FEWER, ["photo_outcomes_by_minute"]),
    ],
)
def test_what_a_rollup_has_from_a_repeated_insert_may_only_be_later(copy, change, mismatched):
    copy.command(f"ALTER TABLE photo_outcomes_by_minute UPDATE {change} WHERE 1")
    assert copy.account().mismatched == mismatched


def test_a_table_without_a_rule_is_an_error(copy):
    copy.command("CREATE TABLE thumbnails (photo_id String) ENGINE = MergeTree ORDER BY photo_id")
    copy.command("CREATE VIEW owners AS SELECT DISTINCT owner_id FROM photo_enrichments")  # which stores nothing
    found = copy.account()
    assert found.mismatched == ["thumbnails"]
    assert not found.exact


# Topics


BY_HAND = {
    "photos.admitted": (ADMITTED, admitted(root=Root(1, 0, 1_000))),
    "photos.enriched": (ENRICHED, enriched(root=Root(1, 0, 1_000))),
    "photos.grouped": (GROUPED, grouped(enriched(root=Root(1, 0, 1_000)))),
    "photos.dead_letter": (DEAD_LETTER, dead_letter(root=Root(1, 0, 1_000))),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_record_that_no_agent_has_published_is_found(copy, name):
    topic, event = BY_HAND[name]
    copy.produce([(topic, codec.encode(event), b"owner-1", 0)])
    found = copy.account()
    assert name in found.mismatched
    assert any(line.startswith(f"{name}: partition 0") and "1-0-1000" in line for line in found.examples)


def test_records_that_are_there_twice_or_missing_are_found(whole):
    def damaged(topic, records):
        again = {ENRICHED: records[:1]}.get(topic, [])
        without = {GROUPED: 1, ADMIT_CHANGELOG: 1}.get(topic, 0)
        return [*records[without:], *again]

    found = copied(whole, damaged).account()
    assert found.mismatched[:3] == ["photos.admit.changelog", "photos.enriched", "photos.grouped"]
    assert any("which must not be there, or not again" in line for line in found.examples)
    assert any("is missing in partition" in line for line in found.examples)


def test_records_of_one_task_in_another_order_are_found(whole):
    def turned(topic, records):
        return records[::-1] if topic is ADMITTED else records

    found = copied(whole, turned).account()
    assert found.mismatched[0] == "photos.admitted"
    assert any("behind what the same task published later" in line for line in found.examples)


def test_a_state_that_differs_is_found(copy):
    copy.produce([(GROUP_CHANGELOG, b"another value", b"a key", 1)])
    assert copy.account().mismatched == ["photos.group.changelog"]


# The feeder's list: the round as it is, held against another list


def test_a_record_that_is_not_on_the_list_is_found(whole):
    [*listed, left_out] = sorted(whole.sent, key=lambda each: each.fate == Fate.ENRICHED)
    found = account(whole.settings, listed)
    assert (found.mismatched, found.lost, found.duplicated) == (["photos.events"], 0, 1)
    assert f"root 1-{left_out.partition}-{left_out.offset}, which nobody sent" in "\n".join(found.examples)


def test_a_record_that_was_acknowledged_and_is_not_there_is_found(whole):
    last = max(each.offset for each in whole.sent if each.partition == 0)
    lost = Sent(0, last + 1, b"gone", Fate.ENRICHED, "", "alice", "gone", "gone")
    found = account(whole.settings, [*whole.sent, lost])
    assert (found.mismatched, found.lost, found.duplicated) == (["photos.events"], 1, 0)


def test_what_became_of_a_record_is_held_against_what_must_become_of_it(whole):
    enriched_ones = [each for each in whole.sent if each.fate == Fate.ENRICHED]
    others = {
        enriched_ones[0]: {"fate": Fate.REPEAT},  # has more than it must
        enriched_ones[1]: {"fate": Fate.REJECTED, "reason": "not_a_photo"},  # has something else
        enriched_ones[2]: {"owner_id": "mallory"},  # has it, as another's
    }
    found = account(whole.settings, [replace(each, **others.get(each, {})) for each in whole.sent])
    assert (found.mismatched, found.lost, found.duplicated) == ([], 2, 3)
    assert found.settled == found.published - 3
    assert not found.exact


def test_a_list_that_names_a_place_twice_is_refused(whole):
    with pytest.raises(ValueError, match="same place"):
        account(whole.settings, [*whole.sent, whole.sent[0]])


def test_a_record_of_photos_events_that_nobody_sent_is_found(copy):
    copy.produce([(EVENTS, b"no event", b"nobody", 0)])
    found = copy.account()
    assert found.mismatched[0] == "photos.events"
    assert "nobody sent this" in found.examples[0]


# A round that is not at its end


def test_metrics_that_are_pending_are_no_end(copy):
    # Which partitions have metrics depends on the workers' names.
    stands = enumerate(positions(copy.settings, "store", METRICS))
    partition, stand = next((partition, stand) for partition, stand in stands if stand)
    copy.commit_metrics({partition: replace(stand, pending=Pending(stand.offset, datetime.now(UTC)))})
    with pytest.raises(Unsettled, match="pending"):
        copy.account()


def one_of(copy, table):
    """A condition that holds for one row of a table."""
    by = ("name", "worker", "labels", "at") if table == "metrics" else ("root_partition", "root_offset")
    [row] = copy.query(f"SELECT {', '.join(f'toString({column})' for column in by)} FROM {table} LIMIT 1")
    return " AND ".join(f"toString({column}) = '{quoted(value)}'" for column, value in zip(by, row, strict=True))


def quoted(text):
    return text.replace("\\", "\\\\").replace("'", "\\'")
