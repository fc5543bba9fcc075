"""schemas/tables.py is what the migrations make, and takes whatever the topics can carry."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.store import store
from schemas.events import Bucket, Camera, Label, ModelResult, Region, Root
from schemas.tables import TABLES
from schemas.topics import DEAD_LETTER, GROUPED, METRICS
from sinks.clickhouse.writer import ClickHouseWriter
from tests.support import builders
from tests.support.batches import Counted, batch

pytestmark = pytest.mark.contract


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_has_the_declared_columns_and_fills_the_others_itself(client, table):
    rows = client.query(
        "SELECT name, default_kind FROM system.columns WHERE database = currentDatabase() AND table = {t:String}",
        {"t": table.name},
    ).result_rows
    assert {name for name, kind in rows if not kind} == set(table.columns)


def test_no_table_that_agents_fill_is_undeclared(client):
    """Rollups are filled by their views, the others by commands."""
    names = client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' "
        "AND name NOT LIKE '%_by_minute' AND name NOT IN ('migrations', 'audit')"
    ).result_rows
    assert {name for (name,) in names} == {table.name for table in TABLES}


text = st.text(max_size=8)
int32 = st.integers(-(2**31), 2**31 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
float32 = st.floats(width=32)
instants = st.datetimes(timezones=st.just(UTC)).filter(lambda at: at.year >= 2)
lineage = {"root": st.builds(Root, int32, int32, int64), "attempt": int32, "fill": int32}
upload = {
    "event_id": text,
    "photo_id": text,
    "owner_id": text,
    "object_uri": text,
    "size_bytes": int64,
    "source": text,
} | {
    "captured_at": st.none() | instants,
    "uploaded_at": instants,
}
results = st.lists(
    st.builds(
        ModelResult,
        model=text,
        version=text,
        labels=st.lists(st.builds(Label, text, float32), max_size=3),
        embedding=st.lists(float32, max_size=4).map(lambda numbers: builders.vector(*numbers)),
        regions=st.lists(
            st.builds(
                Region,
                name=text,
                score=float32,
                left=float32,
                top=float32,
                width=float32,
                height=float32,
                points=st.lists(float32, max_size=4),
                text=text,
            ),
            max_size=2,
        ),
    ),
    max_size=3,
)
float64 = st.none() | st.floats()
cameras = st.builds(
    Camera,
    taken_at=st.none() | instants,
    utc_offset_minutes=st.none() | int32,
    latitude=float64,
    longitude=float64,
    altitude_metres=float64,
    make=st.none() | text,
    model=st.none() | text,
    lens=st.none() | text,
    exposure_seconds=float64,
    aperture=float64,
    iso=st.none() | int32,
    focal_length_millimetres=float64,
)
outcomes = st.builds(
    builders.enriched,
    **upload,
    **lineage,
    media_type=text,
    admitted_at=instants,
    enriched_at=instants,
    width=int32,
    height=int32,
    models=results,
    missing=st.lists(text, max_size=2),
    worker_version=text,
    camera=st.none() | cameras,
    pdq=st.binary(max_size=32),
    pdq_quality=int32,
    sharpness=float32,
) | st.builds(
    builders.rejected,
    **upload,
    **lineage,
    stage=text,
    reason=text,
    detail=text,
    rejected_at=instants,
    worker_version=text,
)
letters = st.builds(
    builders.dead_letter,
    **lineage,
    reason=text,
    detail=text,
    payload_bytes=int64,
    rejected_at=instants,
    worker_version=text,
)
metrics = st.builds(
    builders.metric,
    name=text,
    agent=text,
    worker=text,
    labels=st.dictionaries(text, text, max_size=3),
    at=instants,
    value=st.floats(allow_nan=False, allow_infinity=False),
    buckets=st.lists(st.builds(Bucket, int32, int64), max_size=3),
)
anything = st.one_of(
    st.tuples(st.just(GROUPED), st.lists(st.builds(builders.grouped, outcomes, stamp=text), min_size=1, max_size=3)),
    st.tuples(st.just(DEAD_LETTER), st.lists(letters, min_size=1, max_size=3)),
    st.tuples(st.just(METRICS), st.lists(metrics, min_size=1, max_size=3)),
)


@pytest.fixture
async def writer(client, connection):
    return await ClickHouseWriter.over(connection, client.database)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(what=anything, token=st.uuids())
async def test_whatever_a_topic_can_carry_its_tables_and_rollups_take(writer, what, token):
    topic, events = what
    for rows in store(batch(topic, *events, at=datetime.now(UTC)), measure=Counted()):
        await writer.insert(rows.table, writer.prepare(rows), f"{token}:{rows.table.name}")
