"""Every panel on ClickHouse's engine: it runs, and its numbers are those that Python counts."""

import json
import math
import re
from collections import Counter, defaultdict
from contextlib import closing
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from agents.store import store
from ops.dashboards import FOLDER, Kind, panels
from ops.dashboards.clickhouse import DASHBOARD, fill
from schemas.events import Bucket, Label, ModelResult, Root
from schemas.metrics import GROWTH, METRICS, bucket_of
from schemas.metrics import Kind as MetricKind
from schemas.tables import PHOTO_OUTCOMES
from schemas.topics import DEAD_LETTER, GROUPED, PARTITIONS
from schemas.topics import METRICS as OPS_METRICS
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.writer import ClickHouseWriter
from tests.support.batches import Counted, batch
from tests.support.builders import dead_letter, enriched, grouped, metric, rejected
from tests.support.engine import engine, open_engine

pytestmark = pytest.mark.contract

PANELS = {panel.name: panel for panel in panels()}
# From raw rows, and from the rollups by minute.
ZOOMS = [{"seconds": 300, "rounding": 5}, {"seconds": 3600, "rounding": 60}, {"seconds": 86400, "rounding": 600}]
zooms = pytest.mark.parametrize("zoom", ZOOMS, ids=["raw", "by minute", "by ten minutes"])


def shown(client, name, zoom=ZOOMS[0]):
    """The panel's rows, each as a dict by column."""
    result = client.query(PANELS[name].sql, zoom)
    return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]


def start(moment, zoom):
    return int(moment.timestamp()) // zoom["rounding"] * zoom["rounding"]


def nonzero(rows):
    return [row for row in rows if any(value for name, value in row.items() if name != "t")]


@pytest.fixture
def now():
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
async def put(client, connection):
    """Store events as the store worker does, and once more as one that was killed in between."""
    writer = await ClickHouseWriter.over(connection, client.database)
    ranges = iter(range(1000))

    async def put(topic, *events, at):
        token = next(ranges)
        for _ in range(2):
            for rows in store(batch(topic, *events, at=at), measure=Counted()):
                await writer.insert(rows.table, writer.prepare(rows), f"{token}:{rows.table.name}")

    return put


@pytest.fixture(scope="module")
def reader():
    """Reads empty tables, and may do nothing else; that cannot be taken back, so it is a client of its own."""
    with engine() as (client, database), closing(open_engine()) as reader:
        migrate(client, database=database, partitions=PARTITIONS)
        reader.database = database
        yield reader


@zooms
@pytest.mark.parametrize("name", PANELS)
def test_every_panel_runs_read_only_on_empty_tables(reader, name, zoom):
    body = reader.raw_query(PANELS[name].sql, zoom, settings={"readonly": 1}, fmt="JSONCompact")
    columns = [(column["name"], column["type"]) for column in json.loads(body)["meta"]]
    if PANELS[name].kind is Kind.SERIES:
        (first, kind), *others = columns
        assert (first, kind) == ("t", "Int32")
        if len(others) == 2 and others[0][1] == "String":
            assert [column for column, _ in others] == ["series", "value"]
            others = others[1:]
        assert all(re.fullmatch(r"(Nullable\()?(Float64|UInt64)\)?", kind) for _, kind in others)


@pytest.mark.parametrize("name", PANELS)
def test_only_declared_metrics_are_used_with_declared_labels(name):
    sql = PANELS[name].sql
    used = set(re.findall(r"'(photos_\w+)'", sql))
    assert used <= set(METRICS)
    if "metrics" in sql and PANELS[name].kind is Kind.SERIES:
        assert len(used) == 1
        assert set(re.findall(r"labels\['(\w+)'\]", sql)) <= set(METRICS[used.pop()].labels)


@pytest.mark.parametrize("name", PANELS)
def test_a_metric_is_read_as_its_kind_means(name):
    """Counters are added up, gauges are not, and histograms are read by their buckets."""
    sql = PANELS[name].sql
    for used in set(re.findall(r"'(photos_\w+)'", sql)):
        kind = METRICS[used].kind
        assert ("sumMap(buckets)" in sql) == (kind is MetricKind.HISTOGRAM)
        assert bool(re.search(r"argMax|max\(|uniqExact", sql)) == (kind is MetricKind.GAUGE)


def test_a_panel_is_a_file_with_a_whole_header():
    assert set(PANELS) == {path.stem for path in FOLDER.glob("*.sql")}
    assert len({panel.order for panel in panels()}) == len(PANELS)
    assert all(panel.title and panel.unit for panel in panels())


def outcomes(now):
    """Batches by when they were appended, over the last four minutes: every kind of outcome under every stamp."""
    random = Random(7)
    for moment in range(12):
        found = []
        for n in range(moment * 40, moment * 40 + 40):
            kind = random.choice(["enriched", "enriched", "partial", "rejected"])
            stamp = random.choice(["first"] * 6 + ["again", "filled", "deleted"])
            fields = {"photo_id": f"photo-{n}", "root": Root(1, 0, n), "content_sha256": bytes([n % 7]) * 32}
            if kind == "rejected":
                event = rejected(rejected_at=now, reason=random.choice(["damaged_photo", "wrong_sha256"]), **fields)
            else:
                event = enriched(missing=["scene_label"] if kind == "partial" else [], **fields)
            found.append((kind, grouped(event, stamp=stamp)))
        yield now - timedelta(seconds=moment * 20), found


@zooms
async def test_throughput_counts_each_photo_once(client, put, now, zoom):
    expected = defaultdict(Counter)
    for at, found in outcomes(now):
        await put(GROUPED, *(photo for _, photo in found), at=at)
        expected[start(at, zoom)].update(kind for kind, photo in found if photo.stamp == "first")
    rows = shown(client, "throughput", zoom)
    assert {row["t"]: {kind: row[kind] for kind in ("enriched", "partial", "rejected")} for row in nonzero(rows)} == {
        t: {kind: counts[kind] / zoom["rounding"] for kind in ("enriched", "partial", "rejected")}
        for t, counts in expected.items()
    }


@zooms
def test_throughput_has_a_point_for_every_interval_up_to_now(client, zoom):
    times = [row["t"] for row in shown(client, "throughput", zoom)]
    assert times == list(range(times[0], times[-1] + 1, zoom["rounding"]))
    assert abs(times[-1] - datetime.now(UTC).timestamp()) <= zoom["rounding"] + 1
    assert abs(times[-1] - times[0] - zoom["seconds"]) <= zoom["rounding"]


async def test_totals_are_of_photos_as_they_are_now(client, put, now):
    photos = {}
    letters = 0
    for at, found in outcomes(now):
        await put(GROUPED, *(photo for _, photo in found), at=at)
        kept = [(kind, photo) for kind, photo in found if photo.stamp != "deleted"]
        letters += sum(kind == "rejected" for kind, _ in kept)
        photos |= {photo.photo_id: photo.outcome.content_sha256 for kind, photo in kept if kind != "rejected"}
    await put(DEAD_LETTER, dead_letter(rejected_at=now), at=now)
    # The same photo again, with bytes that nobody else has.
    again = next(iter(photos))
    photos[again] = b"x" * 32
    newer = enriched(photo_id=again, content_sha256=b"x" * 32, root=Root(1, 0, 1000))
    await put(GROUPED, grouped(newer, stamp="again"), at=now)
    assert shown(client, "totals") == [
        {
            "photos": len(photos),
            "exact_duplicates": len(photos) - len(set(photos.values())),
            "dead_letters": letters + 1,
        }
    ]


def put_latencies(client, now):
    """Outcomes with known latencies, in milliseconds, by when they were appended."""
    random = Random(11)
    rows, latencies = [], defaultdict(list)
    columns = [*PHOTO_OUTCOMES.columns, "stored_at"]
    for n in range(300):
        at = now - timedelta(seconds=random.randrange(240))
        milliseconds = round(random.lognormvariate(6, 2)) - 2
        stamp = "again" if n % 10 == 0 else "first"
        row = (
            1,
            0,
            n,
            0,
            0,
            stamp,
            "enriched",
            "",
            "api",
            "image/jpeg",
            1,
            at - timedelta(milliseconds=milliseconds),
            at,
            at,
        )
        rows.append(row)
        if stamp == "first":
            latencies[at].append(max(milliseconds, 0))
    client.insert("photo_outcomes", rows, column_names=columns)
    return latencies


def by_interval(values, zoom):
    intervals = defaultdict(list)
    for at, some in values.items():
        intervals[start(at, zoom)] += some
    return {t: sorted(some) for t, some in intervals.items()}


def test_latency_of_short_spans_is_exact(client, now):
    intervals = by_interval(put_latencies(client, now), ZOOMS[0])
    rows = [row for row in shown(client, "latency", ZOOMS[0]) if row["p50"] is not None]
    for row in rows:
        milliseconds = intervals[row["t"]]
        assert row["p50"] == pytest.approx(milliseconds[int(0.5 * len(milliseconds))] / 1000)
        assert row["p99"] == pytest.approx(milliseconds[int(0.99 * len(milliseconds))] / 1000)
    assert {row["t"] for row in rows} == set(intervals)


@pytest.mark.parametrize("zoom", ZOOMS[1:], ids=["by minute", "by ten minutes"])
def test_latency_of_long_spans_is_the_bound_of_the_bucket_that_holds_it(client, now, zoom):
    intervals = by_interval(put_latencies(client, now), zoom)
    rows = [row for row in shown(client, "latency", zoom) if row["p50"] is not None]
    assert {row["t"] for row in rows} == set(intervals)
    for row in rows:
        milliseconds = intervals[row["t"]]
        for name, level in (("p50", 0.5), ("p99", 0.99)):
            exact = milliseconds[math.ceil(level * len(milliseconds)) - 1] / 1000
            assert row[name] == pytest.approx(GROWTH ** bucket_of(exact) / 1000)
            assert exact <= row[name] * 1.000001


def test_the_rollups_buckets_are_those_of_the_metrics(client, now):
    milliseconds = [*range(3000), *(round(GROWTH**i) + d for i in range(40, 130) for d in (-1, 0, 1))]
    rows = [
        (1, 0, 0, 0, 0, "first", "enriched", "", "api", "", 0, now - timedelta(milliseconds=value), now, now)
        for value in milliseconds
    ]
    client.insert("photo_outcomes", rows, column_names=[*PHOTO_OUTCOMES.columns, "stored_at"])
    [(buckets,)] = client.query("SELECT sumMap(latency_buckets) FROM photo_outcomes_by_minute").result_rows
    assert buckets == Counter(bucket_of(value / 1000) for value in milliseconds)


@zooms
async def test_lag_is_the_last_of_each_partition_whoever_reported_it(client, put, now, zoom):
    # All inside one interval, however short.
    at = datetime.fromtimestamp(start(now - timedelta(seconds=30), ZOOMS[0]), UTC)
    lags = [("a", "0", 0, 100), ("a", "1", 0, 7), ("b", "0", 1, 40), ("b", "2", 1, 2), ("a", "1", 1, 5)]
    events = [
        metric(
            name="photos_lag_records",
            agent="enrich",
            worker=worker,
            labels={"topic": "photos.admitted", "partition": partition},
            at=at + timedelta(seconds=later),
            value=value,
            buckets=[],
        )
        for worker, partition, later, value in lags
    ]
    await put(OPS_METRICS, *events, at=now)
    assert shown(client, "lag", zoom) == [{"t": start(at, zoom), "series": "enrich", "value": 40 + 5 + 2}]


@zooms
@pytest.mark.parametrize(
    ("panel", "name", "labels"),
    [
        ("records", "photos_records_total", {"topic": "photos.events"}),
        ("waiting", "photos_waited_seconds_total", {"dependency": "admit"}),
    ],
)
async def test_counters_are_added_up_by_second(client, put, now, *, zoom, panel, name, labels):
    random = Random(3)
    expected = Counter()
    events = []
    for n in range(200):
        at = now - timedelta(milliseconds=random.randrange(200_000))
        value = random.randrange(1, 50)
        events.append(
            metric(name=name, agent="admit", worker=f"w{n % 3}", labels=labels, at=at, value=value, buckets=[])
        )
        expected[start(at, zoom)] += value
    await put(OPS_METRICS, *events, at=now)
    rows = shown(client, panel, zoom)
    assert {row["t"]: row["value"] for row in rows} == pytest.approx(
        {t: total / zoom["rounding"] for t, total in expected.items()}
    )
    assert {row["series"] for row in rows} == {"admit"}


@zooms
@pytest.mark.parametrize(
    ("panel", "name", "labels", "series"),
    [
        ("model_latency", "photos_inference_seconds", {"model": "scene_label"}, "scene_label"),
        ("batch_latency", "photos_batch_seconds", {"topic": "photos.events"}, "enrich"),
        ("insert_latency", "photos_insert_seconds", {"table": "metrics"}, "metrics"),
    ],
)
async def test_quantiles_of_histograms_are_bounds_of_buckets(client, put, now, *, zoom, panel, name, labels, series):
    random = Random(5)
    observed = defaultdict(list)
    events = []
    for _ in range(60):
        at = now - timedelta(seconds=random.randrange(200))
        seconds = [random.lognormvariate(-3, 1) for _ in range(random.randrange(1, 20))]
        buckets = [Bucket(index, count) for index, count in sorted(Counter(map(bucket_of, seconds)).items())]
        events.append(metric(name=name, agent="enrich", labels=labels, at=at, value=sum(seconds), buckets=buckets))
        observed[at] += seconds
    await put(OPS_METRICS, *events, at=now)
    expected = {}
    for t, seconds in by_interval(observed, zoom).items():
        for level_name, level in (("p50", 0.5), ("p99", 0.99)):
            exact = seconds[math.ceil(level * len(seconds)) - 1]
            expected[t, f"{series} {level_name}"] = GROWTH ** bucket_of(exact) / 1000
    rows = shown(client, panel, zoom)
    assert {(row["t"], row["series"]): row["value"] for row in rows} == pytest.approx(expected)
    assert [(row["t"], row["series"]) for row in rows] == sorted(expected)


def beat(agent, worker, at, up=1, resident=1000):
    common = {"agent": agent, "worker": worker, "labels": {}, "at": at, "buckets": []}
    yield metric(name="photos_worker_up", value=up, **common)
    yield metric(name="photos_worker_resident_bytes", value=resident, **common)


async def test_what_is_running_and_when_it_was_last_heard(client, put, now):
    await put(
        OPS_METRICS,
        *beat("admit", "admit-1", now - timedelta(seconds=60), resident=5),
        *beat("admit", "admit-1", now, resident=7),
        *beat("store", "store-1", now - timedelta(seconds=100)),
        *beat("enrich", "enrich-1", now - timedelta(seconds=1)),
        *beat("enrich", "enrich-1", now, up=0),
        *beat("group", "group-of-yesterday", now - timedelta(days=1)),
        at=now,
    )
    rows = shown(client, "workers")
    assert [(row["worker"], row["up"], row["heard_at"], row["resident_bytes"]) for row in rows] == [
        ("admit-1", True, now, 7),
        ("enrich-1", False, now, 1000),
        ("store-1", False, now - timedelta(seconds=100), 1000),
    ]


@zooms
async def test_workers_up_and_their_memory_over_time(client, put, now, zoom):
    at = datetime.fromtimestamp(start(now - timedelta(seconds=20), ZOOMS[0]), UTC)
    await put(
        OPS_METRICS,
        *beat("enrich", "enrich-1", at, resident=10),
        *beat("enrich", "enrich-1", at + timedelta(milliseconds=900), resident=30),
        *beat("enrich", "enrich-2", at, resident=20),
        *beat("store", "store-1", at, resident=40),
        at=now,
    )
    assert shown(client, "workers_up", zoom) == [
        {"t": start(at, zoom), "series": "enrich", "value": 2},
        {"t": start(at, zoom), "series": "store", "value": 1},
    ]
    assert {row["series"]: row["value"] for row in shown(client, "memory", zoom)} == {
        "enrich-1": 30,
        "enrich-2": 20,
        "store-1": 40,
    }


async def test_dead_letters_by_reason_over_time_and_the_latest(client, put, now):
    moments = [now - timedelta(seconds=n) for n in range(60)]
    letters = [
        grouped(
            rejected(
                photo_id=f"photo-{n}",
                root=Root(1, 0, n),
                rejected_at=at,
                reason="wrong_sha256" if n % 3 else "damaged_photo",
            )
        )
        for n, at in enumerate(moments)
    ]
    await put(GROUPED, *letters, at=now)
    await put(DEAD_LETTER, dead_letter(rejected_at=now - timedelta(hours=1), root=Root(1, 0, 99)), at=now)

    expected = Counter((start(letter.rejected.rejected_at, ZOOMS[0]), letter.rejected.reason) for letter in letters)
    assert {(row["t"], row["series"]): row["value"] for row in shown(client, "dead_letters")} == expected

    reasons = [
        (row["reason"], row["dead_letters"], row["latest_at"]) for row in shown(client, "dead_letters_by_reason")
    ]
    assert reasons == [("wrong_sha256", 40, moments[1]), ("damaged_photo", 20, moments[0])]
    assert shown(client, "dead_letters_by_reason", ZOOMS[2])[-1]["reason"] == "unreadable_event"

    latest = shown(client, "dead_letters_latest")
    assert [row["photo_id"] for row in latest] == [f"photo-{n}" for n in range(50)]
    assert all(row["advice"] for row in latest)


async def test_the_wall_shows_the_last_photos_once_with_their_surest_labels(client, put, now):
    def photo(n, *labels, **fields):
        results = [ModelResult(model="scene_label", version="1", labels=[Label(*label) for label in labels])]
        return grouped(enriched(photo_id=f"photo-{n}", root=Root(1, 0, n), models=results, **fields))

    await put(GROUPED, *(photo(n, ("cup", 0.25), ("espresso", 0.5)) for n in range(60)), at=now)
    again = [("a", 0.5), ("b", 0.125), ("c", 0.25), ("d", 0.375), ("e", 0.0625), ("f", 0.75)]
    await put(GROUPED, photo(30, *again, attempt=1), at=now)
    rows = shown(client, "wall")
    assert [row["photo_id"] for row in rows] == ["photo-30", *(f"photo-{n}" for n in range(59, 11, -1) if n != 30)]
    assert rows[0]["top_labels"] == [("f", 0.75), ("a", 0.5), ("d", 0.375), ("c", 0.25), ("b", 0.125)]
    assert rows[1]["top_labels"] == [("espresso", 0.5), ("cup", 0.25)]


@zooms
async def test_clickhouses_own_page_finds_every_series_and_can_run_it_from_any_database(client, now, put, zoom):
    database = client.database
    await put(GROUPED, grouped(rejected(rejected_at=now)), at=now)
    await put(OPS_METRICS, *beat("admit", "admit-1", now), metric(at=now), at=now)
    mine = {panel.title: client.query(panel.sql, zoom).result_rows for panel in panels() if panel.kind is Kind.SERIES}
    for _ in range(2):
        fill(client, database)
    client.database = "default"
    found = client.query(f"SELECT title, query FROM {database}.dashboards WHERE dashboard = '{DASHBOARD}'").result_rows
    assert [title for title, _ in found] == [panel.title for panel in panels() if panel.kind is Kind.SERIES]
    for title, query in found:
        assert set(re.findall(r"\{(\w+):\w+\}", query)) == {"seconds", "rounding"}
        rows = client.query(query, zoom).result_rows
        # The clock may have moved on by an interval.
        assert [row[1:] for row in rows if any(row[1:])][-3:] == [row[1:] for row in mine[title] if any(row[1:])][-3:]


async def test_a_panel_that_is_gone_is_gone_from_clickhouses_page_too(client):
    series = [panel for panel in panels() if panel.kind is Kind.SERIES]
    fill(client, client.database)
    fill(client, client.database, shown=series[:2])
    titles = client.query("SELECT title FROM dashboards").result_rows
    assert titles == [(panel.title,) for panel in series[:2]]
