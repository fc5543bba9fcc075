"""Whether ClickHouse has rows of a partition, on its engine: of each topic that store reads."""

from datetime import UTC, datetime

import pytest

from agents.store import store
from schemas.events import Root
from schemas.partitioning import partition_of
from schemas.topics import DEAD_LETTER, GROUPED, METRICS
from sinks.clickhouse.entries import TABLES
from sinks.clickhouse.writer import ClickHouseWriter
from streams.topology import FLOWS
from tests.support.batches import Counted, batch
from tests.support.builders import dead_letter, enriched, grouped, metric, rejected

pytestmark = pytest.mark.contract


@pytest.fixture
async def holds(client, connection):
    """The partitions of a topic that have entries, once it has these events."""
    writer = await ClickHouseWriter.over(connection, client.database)

    async def holds(topic, *events):
        for rows in store(batch(topic, *events, at=datetime.now(UTC)), measure=Counted()):
            await writer.insert(rows.table, writer.prepare(rows), f"{rows.table.name}{events}")
        return [
            number for number in range(topic.partitions) if await writer.holds(topic.name, number, topic.partitions)
        ]

    return holds


async def test_nothing_is_there_at_first(holds):
    for topic in (GROUPED, DEAD_LETTER, METRICS):
        assert await holds(topic) == []


async def test_a_photo_is_of_the_partition_of_its_root(holds):
    photos = [
        grouped(enriched(root=Root(1, 3, 1))),
        grouped(rejected(root=Root(2, 5, 1), rejected_at=datetime.now(UTC))),
    ]
    assert await holds(GROUPED, *photos) == [3, 5]


async def test_a_photo_that_came_in_a_wrong_partition_says_nothing_about_it(holds):
    astray = rejected(root=Root(1, 3, 1), reason="wrong_partition", rejected_at=datetime.now(UTC))
    assert await holds(GROUPED, grouped(astray)) == []


async def test_what_is_nobody_s_is_of_the_partition_that_its_number_is_hashed_to(holds):
    letter = dead_letter(root=Root(1, 3, 1), rejected_at=datetime.now(UTC))
    assert await holds(DEAD_LETTER, letter) == [partition_of(b"3", DEAD_LETTER.partitions)]


async def test_a_rejected_photo_among_the_dead_letters_came_another_way(holds):
    await holds(GROUPED, grouped(rejected(root=Root(1, 3, 1), rejected_at=datetime.now(UTC))))
    assert await holds(DEAD_LETTER) == []


@pytest.mark.parametrize("worker", ["somebody", "somebody else", "admit-host-1"])
async def test_a_metric_is_of_the_partition_of_its_worker(holds, worker):
    up = metric(name="photos_worker_up", worker=worker, labels={}, at=datetime.now(UTC), buckets=[])
    assert await holds(METRICS, up) == [partition_of(worker.encode(), METRICS.partitions)]


def test_every_topic_that_store_reads_can_be_asked_about():
    assert set(TABLES) == {topic.name for topic in FLOWS["store"].sources}
