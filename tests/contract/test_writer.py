"""The writer, in process and over HTTP: what is inserted is there once, in every table and every rollup."""

import asyncio
import struct
from contextlib import closing
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from agents.store import store
from ops.stack.ports import free_port
from schemas.errors import Refused, StrangeWorld, Unavailable
from schemas.events import ModelResult, Root
from schemas.tables import METRICS, PHOTO_EMBEDDINGS, PHOTO_ENRICHMENTS, PHOTO_OUTCOMES, Rows
from schemas.topics import DEAD_LETTER, GROUPED, PARTITIONS
from schemas.topics import METRICS as OPS_METRICS
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.writer import ClickHouseWriter
from tests.support.batches import Counted, batch
from tests.support.builders import dead_letter, enriched, grouped, metric, rejected, vector
from tests.support.engine import InProcess, engine
from tests.support.providers import namespace

pytestmark = pytest.mark.contract

COUNTS = {
    "photo_enrichments": "count()",
    "photo_embeddings": "count()",
    "photo_outcomes": "count()",
    "photo_outcomes_by_minute": "sum(photos)",
    "dead_letters": "count()",
    "metrics": "count()",
    "metrics_by_minute": "sum(count)",
}


@pytest.fixture(params=["in process", "over http"])
async def sink(request):
    """A writer, and a client to look with."""
    if request.param == "in process":
        with engine() as (client, database):
            migrate(client, database=database, partitions=PARTITIONS)
            yield SimpleNamespace(writer=await ClickHouseWriter.over(InProcess(client), database), client=client)
        return
    url, database = request.getfixturevalue("clickhouse").url, namespace()
    with closing(connect(url=url, user="default", password="")) as client:
        migrate(client, database=database, partitions=PARTITIONS)
        writer = await ClickHouseWriter.open(url=url, user="default", password="", database=database)
        yield SimpleNamespace(writer=writer, client=client)
        await writer.close()
        client.command(f"DROP DATABASE {database} SYNC")


def now():
    return datetime.now(UTC).replace(microsecond=0)


def everything():
    """Rows for every table: two photos, a rejected one, a dead letter, two metrics."""
    photos = [grouped(enriched(photo_id="a")), grouped(enriched(photo_id="b")), grouped(rejected(rejected_at=now()))]
    for given in (
        batch(GROUPED, *photos, at=now()),
        batch(DEAD_LETTER, dead_letter(rejected_at=now())),
        batch(OPS_METRICS, metric(at=now()), metric(at=now(), labels={})),
    ):
        yield from ((given.topic, rows) for rows in store(given, measure=Counted()))


def counts(client):
    return {table: client.query(f"SELECT {count} FROM {table}").first_row[0] for table, count in COUNTS.items()}


ONCE = {
    "photo_enrichments": 2,
    "photo_embeddings": 2,
    "photo_outcomes": 3,
    "photo_outcomes_by_minute": 3,
    "dead_letters": 2,
    "metrics": 2,
    "metrics_by_minute": 2,
}


async def test_the_same_token_again_and_again_is_once_in_every_table_and_rollup(sink):
    inserts = [(rows.table, sink.writer.prepare(rows), f"{topic}:{rows.table.name}") for topic, rows in everything()]
    for _ in range(3):
        for insert in inserts:
            await sink.writer.insert(*insert)
        assert counts(sink.client) == ONCE


async def test_the_same_token_at_the_same_time_is_once_in_every_table_and_rollup(sink):
    inserts = [(rows.table, sink.writer.prepare(rows), f"{topic}:{rows.table.name}") for topic, rows in everything()]
    await asyncio.gather(*(sink.writer.insert(*insert) for insert in inserts for _ in range(4)))
    assert counts(sink.client) == ONCE


async def test_it_is_the_token_that_makes_it_once(sink):
    [outcomes, *_] = [rows for _, rows in everything() if rows.table is PHOTO_OUTCOMES]
    block = sink.writer.prepare(outcomes)
    await sink.writer.insert(PHOTO_OUTCOMES, block, "a range")
    await sink.writer.insert(PHOTO_OUTCOMES, block, "another range")
    assert counts(sink.client)["photo_outcomes_by_minute"] == 6


async def test_an_insert_that_a_rollup_failed_is_made_whole_by_its_repetition(sink):
    rows = next(rows for _, rows in everything() if rows.table is PHOTO_OUTCOMES)
    block = sink.writer.prepare(rows)
    sink.client.command("RENAME TABLE photo_outcomes_by_minute TO away")
    with pytest.raises(StrangeWorld, match="safelight migrate"):
        await sink.writer.insert(PHOTO_OUTCOMES, block, "range")
    sink.client.command("RENAME TABLE away TO photo_outcomes_by_minute")
    for _ in range(2):
        await sink.writer.insert(PHOTO_OUTCOMES, block, "range")
    found = counts(sink.client)
    assert (found["photo_outcomes"], found["photo_outcomes_by_minute"]) == (3, 3)


async def test_rows_of_many_partitions_in_one_insert_are_once(sink):
    template = next(rows for _, rows in everything() if rows.table is METRICS).values[0]
    at = METRICS.columns.index("at")
    values = [(*template[:at], now() - timedelta(days=days), *template[at + 1 :]) for days in range(28)]
    block = sink.writer.prepare(Rows(METRICS, values))
    for _ in range(2):
        await sink.writer.insert(METRICS, block, "range")
    found = counts(sink.client)
    assert (found["metrics"], found["metrics_by_minute"]) == (28, 28)


async def test_a_token_outlives_the_server(sink):
    rows = next(rows for _, rows in everything() if rows.table is PHOTO_OUTCOMES)
    block = sink.writer.prepare(rows)
    await sink.writer.insert(PHOTO_OUTCOMES, block, "range")
    for table in ("photo_outcomes", "photo_outcomes_by_minute"):
        sink.client.command(f"DETACH TABLE {table}")
        sink.client.command(f"ATTACH TABLE {table}")
    await sink.writer.insert(PHOTO_OUTCOMES, block, "range")
    found = counts(sink.client)
    assert (found["photo_outcomes"], found["photo_outcomes_by_minute"]) == (3, 3)


async def test_a_large_batch_is_one_part(sink):
    photos = [
        grouped(
            enriched(photo_id=f"{n}", models=[ModelResult(model="m", version="1", embedding=vector(*[0.5] * 1280))])
        )
        for n in range(2000)
    ]
    for rows in store(batch(GROUPED, *photos, at=now()), measure=Counted()):
        await sink.writer.insert(rows.table, sink.writer.prepare(rows), f"range:{rows.table.name}")
    parts = sink.client.query(
        "SELECT table, count(), sum(rows) FROM system.parts WHERE database = currentDatabase() AND active "
        "AND table IN ('photo_enrichments', 'photo_embeddings') GROUP BY table ORDER BY table"
    ).result_rows
    assert parts == [("photo_embeddings", 1, 2000), ("photo_enrichments", 1, 2000)]


async def test_photos_shows_the_newest_look_whatever_came_in_last(sink):
    newest_first = [
        {"root": Root(2, 0, 1)},
        {"root": Root(1, 0, 2**40), "attempt": 1},
        {"root": Root(1, 0, 2**40), "fill": 1},
        {"root": Root(1, 0, 2**40)},
        {"root": Root(1, 0, 9), "attempt": 7, "fill": 7},
    ]
    for n, fields in enumerate(newest_first):
        for rows in store(batch(GROUPED, grouped(enriched(width=n, **fields)), at=now()), measure=Counted()):
            await sink.writer.insert(rows.table, sink.writer.prepare(rows), f"{n}:{rows.table.name}")
    assert sink.client.query("SELECT width FROM photos").result_rows == [(0,)]
    looks = sink.client.query("SELECT width FROM photo_enrichments ORDER BY revision DESC").result_rows
    assert looks == sorted(looks)
    [(newest,)] = sink.client.query(
        "SELECT count() FROM photo_embeddings FINAL JOIN photos USING (owner_id, photo_id, revision)"
    ).result_rows
    assert newest == 1


async def test_what_was_written_is_what_is_read(sink):
    photo = enriched(owner_id="Ωwner 📷", photo_id="it's\0a\tphoto\\", captured_at=None)
    for rows in store(batch(GROUPED, grouped(photo), at=now()), measure=Counted()):
        await sink.writer.insert(rows.table, sink.writer.prepare(rows), rows.table.name)
        if rows.table is PHOTO_OUTCOMES:
            continue
        columns = ", ".join(f"`{column}`" for column in rows.table.columns)
        [read] = sink.client.query(f"SELECT {columns} FROM {rows.table.name}").result_rows
        assert [comparable(value) for value in read] == [comparable(value) for value in rows.values[0]]


async def test_exact_duplicates_are_of_one_owner_and_named_by_the_earliest_upload(sink):
    same = {"content_sha256": b"s" * 32}
    photos = [
        enriched(owner_id="a", photo_id="third", root=Root(1, 0, 30), **same),
        enriched(owner_id="a", photo_id="first", root=Root(1, 0, 9), **same),
        enriched(owner_id="a", photo_id="second", root=Root(1, 0, 10), **same),
        enriched(owner_id="a", photo_id="other", root=Root(1, 0, 11)),
        enriched(owner_id="b", photo_id="first", root=Root(1, 1, 1), **same),
    ]
    for rows in store(batch(GROUPED, *map(grouped, photos), at=now()), measure=Counted()):
        await sink.writer.insert(rows.table, sink.writer.prepare(rows), rows.table.name)
    assert sink.client.query("SELECT * FROM exact_duplicates").result_rows == [
        ("a", "73" * 32, ["first", "second", "third"], "first", 2)
    ]


async def test_a_photo_uploaded_again_with_other_bytes_is_no_duplicate_any_more(sink):
    photos = [
        enriched(photo_id="a", root=Root(1, 0, 1)),
        enriched(photo_id="b", root=Root(1, 0, 2)),
        enriched(photo_id="b", root=Root(1, 0, 3), content_sha256=b"o" * 32),
    ]
    for rows in store(batch(GROUPED, *map(grouped, photos), at=now()), measure=Counted()):
        await sink.writer.insert(rows.table, sink.writer.prepare(rows), rows.table.name)
    assert sink.client.query("SELECT count() FROM exact_duplicates").first_row == (0,)


async def test_rows_that_do_not_fit_are_refused_before_they_are_sent(sink):
    rows = next(rows for _, rows in everything() if rows.table is PHOTO_ENRICHMENTS)
    width = PHOTO_ENRICHMENTS.columns.index("width")
    bad = [rows.values[0], (*rows.values[1][:width], 2**40, *rows.values[1][width + 1 :])]
    with pytest.raises(Refused, match="photo_enrichments: column width, row 1"):
        sink.writer.prepare(Rows(PHOTO_ENRICHMENTS, bad))


async def test_bytes_that_are_no_rows_are_refused_by_clickhouse(sink):
    with pytest.raises(Refused, match="photo_embeddings"):
        await sink.writer.insert(PHOTO_EMBEDDINGS, b"\x01\x01\x08owner_id\x06String\x05abc", "range")


async def test_a_table_that_is_gone_ends_the_worker_instead_of_draining_the_topic(sink):
    rows = next(rows for _, rows in everything() if rows.table is PHOTO_OUTCOMES)
    sink.client.command("DROP TABLE photo_outcomes SYNC")
    with pytest.raises(StrangeWorld, match="safelight migrate"):
        await sink.writer.insert(PHOTO_OUTCOMES, sink.writer.prepare(rows), "range")


async def test_the_writer_says_how_long_inserts_are_remembered(sink):
    assert sink.writer.memory.inserts >= 24 * 3600 * PARTITIONS
    assert sink.writer.memory.age is None


async def test_no_server_is_unavailable():
    with pytest.raises(Unavailable):
        await ClickHouseWriter.open(url=f"http://127.0.0.1:{free_port()}", user="default", password="", database="x")


async def test_no_database_names_the_command(clickhouse):
    with pytest.raises(StrangeWorld, match="safelight migrate"):
        await ClickHouseWriter.open(url=clickhouse.url, user="default", password="", database=namespace())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP TABLE metrics SYNC", r"no table test_\w+\.metrics: run `safelight migrate`"),
        ("ALTER TABLE metrics DROP COLUMN value", r"no columns value of test_\w+\.metrics: run `safelight migrate`"),
        (
            "ALTER TABLE metrics_by_minute RESET SETTING non_replicated_deduplication_window",
            "metrics_by_minute remembers no",
        ),
    ],
)
async def test_tables_that_are_not_ours_are_found_at_the_start(empty, change, said):
    client, database = empty
    migrate(client, database=database, partitions=PARTITIONS)
    if "value" in change:
        client.command("DROP VIEW metrics_by_minute_feed SYNC")
    client.command(change)
    with pytest.raises(StrangeWorld, match=said):
        await ClickHouseWriter.over(InProcess(client), database)


def comparable(value):
    """A time as seconds, an embedding as numbers."""
    if isinstance(value, bytes):
        return list(struct.unpack(f"<{len(value) // 4}f", value))
    return value.timestamp() if isinstance(value, datetime) else value
