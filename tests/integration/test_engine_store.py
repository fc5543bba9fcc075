"""The road into ClickHouse, killed at every boundary: each row is there once, in the table and in its rollup."""

import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Producer

from ops.database import database
from ops.prepare import prepare_database
from schemas import codec
from schemas.events import Root
from schemas.topics import ADMITTED
from streams import provision
from streams.step import Step
from tests.integration.engine_flows import FLOWS
from tests.integration.engine_workers import Worker, lag, wait_done
from tests.support.builders import admitted

pytestmark = pytest.mark.integration

OUTCOMES = FLOWS["outcomes"]
PHOTOS = 4000


@pytest.fixture
def start(clickhouse_settings):
    provision.ensure(clickhouse_settings)
    prepare_database(clickhouse_settings)
    workers = []

    def start(**options):
        workers.append(Worker(clickhouse_settings, "outcomes", **options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


@pytest.fixture
def query(clickhouse_settings):
    with database(clickhouse_settings) as client:
        yield lambda sql: client.query(sql).result_rows


def feed(settings):
    """Admitted photos, of the last ten minutes: outcomes are kept for a time only."""
    began = datetime.now(UTC) - timedelta(minutes=10)
    producer = Producer({"bootstrap.servers": settings.brokers, "partitioner": "murmur2_random"})
    for number in range(PHOTOS):
        event = admitted(root=Root(1, number % 8, number), uploaded_at=began + timedelta(seconds=number * 600 / PHOTOS))
        event = replace(event, admitted_at=event.uploaded_at + timedelta(seconds=1))
        producer.produce(settings.topic(ADMITTED), codec.encode(event), str(number).encode())
    assert producer.flush(30) == 0


def test_killed_at_every_boundary_each_row_is_there_once_whatever_the_size_of_a_batch(
    clickhouse_settings, start, query
):
    feed(clickhouse_settings)
    sizes = iter((70, 200, 50, 120, 90, 300))
    for step in (Step.PENDING, Step.INSERTED, Step.WORKED, Step.PENDING, Step.COMMITTED):
        assert start(step=step, number=3, batch_records=next(sizes)).wait() == -signal.SIGKILL, step
    assert lag(clickhouse_settings, OUTCOMES) > 0, "there was nothing left to lose"
    worker = start(batch_records=next(sizes))
    wait_done(clickhouse_settings, OUTCOMES)
    assert worker.stop() == 0, worker.log.read_text()
    rows = query("SELECT root_partition, root_offset FROM photo_outcomes")
    assert sorted(rows) == sorted((number % 8, number) for number in range(PHOTOS))
    by_minute = query("SELECT minute, sum(photos) FROM photo_outcomes_by_minute GROUP BY minute ORDER BY minute")
    truth = query("SELECT toStartOfMinute(at) AS minute, count() FROM photo_outcomes GROUP BY minute ORDER BY minute")
    assert [count for _, count in by_minute] == [count for _, count in truth]


def test_a_range_pending_for_too_long_ends_the_worker_with_one_line(clickhouse_settings, start, query):
    feed(clickhouse_settings)
    assert start(step=Step.PENDING, number=1, batch_records=70).wait() == -signal.SIGKILL
    worker = start(pending_age=0.001)
    assert worker.wait() == 1
    *_, line = worker.log.read_text().splitlines()
    assert "SAFELIGHT_PENDING_AGE" in line
    assert query("SELECT count() FROM photo_outcomes") == [(0,)]
