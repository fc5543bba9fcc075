"""store: every kind of record to the rows that it means."""

from datetime import UTC, datetime, timedelta

import pytest

from agents.store import store
from schemas.errors import Reason, Unreadable
from schemas.events import Bucket, Label, ModelResult, Root, Stamp
from schemas.tables import DEAD_LETTERS, METRICS, PHOTO_EMBEDDINGS, PHOTO_ENRICHMENTS, PHOTO_OUTCOMES
from schemas.topics import DEAD_LETTER, ENRICHED, GROUPED
from schemas.topics import METRICS as OPS_METRICS
from tests.support.batches import Counted, batch
from tests.support.builders import NOON, dead_letter, enriched, grouped, metric, rejected, uploaded, vector

pytestmark = pytest.mark.unit

SKIPPED = "photos_skipped_total"


def rows_of(topic, *events, measure=None):
    """Rows by table, each as a dict by column."""
    stored = store(batch(topic, *events), measure=measure or Counted())
    return {rows.table: [dict(zip(rows.table.columns, row, strict=True)) for row in rows.values] for rows in stored}


def test_an_enriched_photo_is_a_row_of_its_own_an_embedding_and_an_outcome():
    photo = enriched(owner_id="Ωwner 📷", photo_id="photo/ü", root=Root(2, 5, 77), attempt=1, fill=3)
    rows = rows_of(GROUPED, grouped(photo, stamp="filled"))
    root = {"root_generation": 2, "root_partition": 5, "root_offset": 77, "attempt": 1, "fill": 3}
    assert rows == {
        PHOTO_OUTCOMES: [
            root
            | {
                "stamp": "filled",
                "outcome": "enriched",
                "reason": "",
                "source": "upload-api",
                "media_type": "image/jpeg",
                "size_bytes": 12_345,
                "uploaded_at": NOON,
                "at": NOON,
            }
        ],
        PHOTO_ENRICHMENTS: [
            root
            | {
                "owner_id": "Ωwner 📷",
                "photo_id": "photo/ü",
                "stamp": "filled",
                "event_id": "event-1",
                "object_uri": "file:///photos/coffee.jpg",
                "content_sha256": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                "size_bytes": 12_345,
                "media_type": "image/jpeg",
                "width": 600,
                "height": 400,
                "captured_at": NOON - timedelta(days=30),
                "uploaded_at": NOON,
                "admitted_at": NOON + timedelta(seconds=1),
                "enriched_at": NOON + timedelta(seconds=2),
                "source": "upload-api",
                "labels.model": ["scene_label"],
                "labels.name": ["espresso"],
                "labels.score": [0.9375],
                "models.name": ["scene_label", "face_detect"],
                "models.version": ["1", "1"],
                "missing": [],
                "worker_version": "0.1.0",
                "taken_at": NOON - timedelta(days=30),
                "utc_offset_minutes": -210,
                "latitude": 48.85837,
                "longitude": 2.294481,
                "altitude_metres": 35.5,
                "camera_make": "Apple",
                "camera_model": "iPhone 16",
                "lens": "back camera",
                "exposure_seconds": 0.008,
                "aperture": 1.5,
                "iso": 64,
                "focal_length_millimetres": 6.75,
                "pdq": "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
                "pdq_quality": 88,
                "sharpness": 412.5,
                "regions.model": ["face_detect"],
                "regions.name": ["face"],
                "regions.score": [0.75],
                "regions.left": [0.25],
                "regions.top": [0.125],
                "regions.width": [0.5],
                "regions.height": [0.375],
                "regions.points": [[0.375, 0.25, 0.5, 0.25]],
                "regions.text": [""],
            }
        ],
        PHOTO_EMBEDDINGS: [
            root
            | {
                "owner_id": "Ωwner 📷",
                "photo_id": "photo/ü",
                "model": "scene_label",
                "version": "1",
                "embedding": vector(0.6015625, 0.796875),
            }
        ],
    }


def test_labels_of_several_models_stand_side_by_side_in_the_models_order():
    models = [
        ModelResult(model="scene_label", version="1", labels=[Label("espresso", 0.75), Label("cup", 0.25)]),
        ModelResult(model="object_detect", version="4", labels=[Label("cup", 0.5)], embedding=vector(1.0)),
    ]
    rows = rows_of(GROUPED, grouped(enriched(models=models)))
    [row] = rows[PHOTO_ENRICHMENTS]
    assert row["labels.model"] == ["scene_label", "scene_label", "object_detect"]
    assert row["labels.name"] == ["espresso", "cup", "cup"]
    assert row["labels.score"] == [0.75, 0.25, 0.5]
    assert (row["models.name"], row["models.version"]) == (["scene_label", "object_detect"], ["1", "4"])
    assert [row["model"] for row in rows[PHOTO_EMBEDDINGS]] == ["object_detect"]


def test_what_a_photo_does_not_say_is_not_made_up():
    [row] = rows_of(GROUPED, grouped(enriched(camera=None, pdq=b"", pdq_quality=0, sharpness=0.0)))[PHOTO_ENRICHMENTS]
    unknown = ("taken_at", "utc_offset_minutes", "latitude", "longitude", "altitude_metres", "exposure_seconds", "iso")
    assert {row[name] for name in unknown} == {None}
    assert {row[name] for name in ("camera_make", "camera_model", "lens", "pdq")} == {""}


def test_a_photo_that_waits_for_a_model_is_partial():
    rows = rows_of(GROUPED, grouped(enriched(models=[], missing=["scene_label"])))
    assert rows[PHOTO_OUTCOMES][0]["outcome"] == "partial"
    assert rows[PHOTO_ENRICHMENTS][0]["missing"] == ["scene_label"]
    assert PHOTO_EMBEDDINGS not in rows


def test_an_unknown_time_of_capture_stays_unknown():
    assert rows_of(GROUPED, grouped(enriched(captured_at=None)))[PHOTO_ENRICHMENTS][0]["captured_at"] is None


@pytest.mark.parametrize("year", [1839, 2300])
def test_a_time_of_capture_that_clickhouse_cannot_say_is_unknown(year):
    photo = enriched(captured_at=datetime(year, 1, 1, tzinfo=UTC))
    assert rows_of(GROUPED, grouped(photo))[PHOTO_ENRICHMENTS][0]["captured_at"] is None


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), datetime(1900, 1, 1, tzinfo=UTC)),
        (datetime(9999, 12, 31, tzinfo=UTC), datetime(2299, 12, 31, 23, 59, 59, 999_000, UTC)),
    ],
)
def test_a_time_of_upload_that_clickhouse_cannot_say_becomes_the_nearest_that_it_can(said, stored):
    assert rows_of(GROUPED, grouped(rejected(uploaded_at=said)))[PHOTO_OUTCOMES][0]["uploaded_at"] == stored


def test_a_rejected_photo_is_a_dead_letter_with_advice_and_an_outcome():
    rows = rows_of(GROUPED, grouped(rejected(reason="wrong_sha256")))
    assert set(rows) == {PHOTO_OUTCOMES, DEAD_LETTERS}
    outcome = rows[PHOTO_OUTCOMES][0]
    assert (outcome["outcome"], outcome["reason"], outcome["media_type"]) == ("rejected", "wrong_sha256", "")
    assert rows[DEAD_LETTERS] == [
        {
            "reason": "wrong_sha256",
            "detail": "the file ends in the middle of the picture",
            "advice": Reason.WRONG_SHA256.advice,
            "stage": "enrich",
            "owner_id": "owner-1",
            "photo_id": "photo-1",
            "event_id": "event-1",
            "object_uri": "file:///photos/coffee.jpg",
            "source": "upload-api",
            "root_generation": 1,
            "root_partition": 3,
            "root_offset": 42,
            "attempt": 0,
            "fill": 0,
            "payload_bytes": 0,
            "rejected_at": NOON + timedelta(seconds=2),
            "worker_version": "0.1.0",
        }
    ]


def test_a_reason_of_a_newer_worker_is_stored_without_advice():
    [letter] = rows_of(GROUPED, grouped(rejected(reason="too_beautiful")))[DEAD_LETTERS]
    assert (letter["reason"], letter["advice"]) == ("too_beautiful", "")


@pytest.mark.parametrize("outcome", [enriched(), rejected()], ids=["enriched", "rejected"])
def test_a_late_outcome_of_a_deleted_photo_is_counted_and_nothing_of_it_kept(outcome):
    rows = rows_of(GROUPED, grouped(outcome, stamp=Stamp.DELETED))
    assert set(rows) == {PHOTO_OUTCOMES}
    assert rows[PHOTO_OUTCOMES][0]["stamp"] == "deleted"


def test_bytes_that_nobody_can_attribute_are_a_dead_letter_without_ids():
    [letter] = rows_of(DEAD_LETTER, dead_letter(payload_bytes=70_000))[DEAD_LETTERS]
    assert [letter[name] for name in ("owner_id", "photo_id", "event_id", "object_uri", "source")] == [""] * 5
    assert (letter["stage"], letter["payload_bytes"]) == ("admit", 70_000)
    assert letter["advice"] == Reason.UNREADABLE_EVENT.advice


def test_a_metric_keeps_its_labels_in_order_and_its_buckets_apart():
    event = metric(labels={"topic": "photos.events", "partition": "3"}, buckets=[Bucket(0, 2), Bucket(28, 3)])
    [row] = rows_of(OPS_METRICS, event)[METRICS]
    assert row == {
        "name": "photos_inference_seconds",
        "agent": "enrich",
        "worker": "enrich-host-1",
        "labels": {"partition": "3", "topic": "photos.events"},
        "at": NOON,
        "value": 0.25,
        "buckets.index": [0, 28],
        "buckets.count": [2, 3],
    }
    assert list(row["labels"]) == ["partition", "topic"]


@pytest.mark.parametrize(
    ("topic", "good"), [(OPS_METRICS, metric()), (DEAD_LETTER, dead_letter())], ids=["metrics", "dead letters"]
)
def test_what_is_no_metric_or_dead_letter_is_counted_and_skipped(topic, good):
    measure = Counted()
    rows = rows_of(topic, None, b"nonsense", good, uploaded(), measure=measure)
    assert [len(found) for found in rows.values()] == [1]
    assert measure.counts == {(SKIPPED, ("topic", topic.name)): 3}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_would_spoil_every_sum_is_counted_and_skipped(value):
    measure = Counted()
    assert rows_of(OPS_METRICS, metric(value=value), measure=measure) == {}
    assert measure.counts == {(SKIPPED, ("topic", "ops.metrics")): 1}


def test_what_cannot_be_read_on_an_inner_topic_is_a_bug():
    with pytest.raises(Unreadable):
        rows_of(GROUPED, grouped(), b"nonsense")


def test_a_topic_that_is_not_stored_is_a_bug():
    with pytest.raises(ValueError, match=r"photos\.enriched"):
        rows_of(ENRICHED, enriched())


def test_rows_are_in_the_order_of_the_records_one_rows_a_table():
    photos = [grouped(enriched(photo_id=f"photo-{n}")) for n in range(3)]
    stored = store(batch(GROUPED, *photos), measure=Counted())
    assert [rows.table for rows in stored] == [PHOTO_OUTCOMES, PHOTO_ENRICHMENTS, PHOTO_EMBEDDINGS]
    assert [row[1] for row in stored[1].values] == ["photo-0", "photo-1", "photo-2"]
