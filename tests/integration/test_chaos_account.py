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

from ops.prepare import prepare_database
from schemas import codec
from schemas.events import PhotoUploaded
from schemas.partitioning import partition_of
from schemas.tables import TABLES
from schemas.topics import (
    EVENTS,
    METRICS,
    TOPICS,
)
from sinks.clickhouse.client import connect
from streams import provision
from streams.settings import Settings
from tests.chaos.account import account
from tests.chaos.records import positions, reading
from tests.chaos.sent import Fate, Sent
from tests.support.backbone import SAMPLES
from tests.support.eventually import eventually
from tests.support.providers import namespace

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PARTITIONS = 2
AGENTS = ("admit", "enrich", "group", "store")
ROLLUPS = ("metrics_by_minute", "photo_outcomes_by_minute")
BAD = {"cut-short.jpg": "damaged_photo", "not-a-photo.jpg": "not_a_photo"}


@dataclass
class Round:
    """A round that is over: workers stopped, everything as they left it."""

    settings: Settings
    sent: list[Sent]

    def account(self):
        return account(self.settings, self.sent)

    def client(self):
        return closing(connect(url=self.settings.clickhouse_url, user="default", password="", database=self.database))

    @property
    def database(self):
        return self.settings.database

    def query(self, sql):
        with self.client() as client:
            return client.query(sql).result_rows

    def command(self, sql, **settings):
        with self.client() as client:
            return client.command(sql, settings={"insert_deduplicate": 0, "mutations_sync": 2, **settings})

    def publish(self, topic, event, partition=0, key=None):
        producer = Producer({"bootstrap.servers": self.settings.brokers})
        value = event if isinstance(event, bytes) else codec.encode(event)
        producer.produce(self.settings.topic(topic), value, key, partition)
        assert producer.flush(10) == 0


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
        clickhouse_url=clickhouse.url,
    )
    provision.ensure(settings)
    prepare_database(settings)
    workers = [worker(settings, agent, folder) for agent in AGENTS]
    try:
        round_ = Round(settings, feed(settings))
        eventually(lambda: assert_done(round_, workers), within=90, every=0.2)
    finally:
        for process in workers:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(30) for process in workers]
    assert codes == [0] * len(workers)
    return round_


def worker(settings, agent, folder):
    environment = {
        "SAFELIGHT_BROKERS": settings.brokers,
        "SAFELIGHT_NAMESPACE": settings.namespace,
        "SAFELIGHT_PARTITIONS": str(settings.partitions),
        "SAFELIGHT_DATA": str(settings.data),
        "SAFELIGHT_HASH_KEY": settings.hash_key.get_secret_value(),
        "SAFELIGHT_OBJECT_ROOTS": ",".join(settings.object_roots),
        "SAFELIGHT_TRITON": settings.triton,
        "SAFELIGHT_CLICKHOUSE_URL": settings.clickhouse_url,
        "SAFELIGHT_METRICS_INTERVAL": "PT0.2S",
    }
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


def copied(whole, rearrange=lambda topic, records: records):
    """The same on topics and in a database of its own: what is left out of the account is the same too, and so are the broker's times."""
    settings = whole.settings.model_copy(update={"namespace": namespace()})
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
    producer = Producer({"bootstrap.servers": settings.brokers})
    with reading(whole.settings) as log:
        for topic in TOPICS:
            for partition in log.partitions(topic):
                for record in rearrange(topic, log.read(topic, partition)):
                    producer.produce(
                        settings.topic(topic), record.value, record.key, partition, timestamp=record.timestamp
                    )
    assert producer.flush(30) == 0
    stands = positions(whole.settings, "store", METRICS)
    with closing(Consumer({"bootstrap.servers": settings.brokers, "group.id": settings.group("store")})) as consumer:
        offsets = [
            TopicPartition(settings.topic(METRICS), partition, stand.offset, stand.note)
            for partition, stand in enumerate(stands)
            if stand
        ]
        consumer.commit(offsets=offsets, asynchronous=False)
    prepare_database(settings)
    copy = Round(settings, whole.sent)
    for table in TABLES:
        columns = ", ".join(
            f"`{column}`" for column in (*table.columns, "stored_at" if table.name != "metrics" else "")
        )
        columns = columns.removesuffix(", ``")
        copy.command(
            f"INSERT INTO `{copy.database}`.{table.name} ({columns}) SELECT {columns} FROM `{whole.database}`.{table.name}"
        )
    return copy


def test_a_round_by_real_workers_is_exact(whole):
    found = whole.account()
    assert found.exact, "\n".join(found.examples)
    assert (found.published, found.settled, found.lost, found.duplicated) == (len(whole.sent), len(whole.sent), 0, 0)
    assert found.examples == []


def test_what_was_not_compared_is_named(whole):
    excluded = whole.account().excluded_columns
    assert excluded["photo_outcomes"] == ["stored_at"]
    assert excluded["photos.admitted"] == ["admitted_at"]


def test_a_copy_is_as_exact(copy):
    found = copy.account()
    assert found.exact, "\n".join(found.examples)


def test_an_outcome_that_is_there_twice_is_found(copy):
    columns = "* EXCEPT stored_at"
    table = f"`{copy.database}`.photo_outcomes"
    copy.command(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1")
    found = copy.account()
    assert (found.mismatched, found.duplicated, found.lost) == (["photo_outcomes"], 1, 0), columns
