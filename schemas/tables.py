"""The tables that store writes, and the columns that it fills (tests/contract/test_tables.py holds the migrations to it).

Columns that ClickHouse fills by itself (stored_at, revision) are not among them. A Nested column is its parts, each an array.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the database, and the columns that an INSERT names, in its order."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table, each in the order of `table.columns`."""

    table: Table
    values: list[tuple[object, ...]]


_ROOT = ("root_generation", "root_partition", "root_offset", "attempt", "fill")

PHOTO_ENRICHMENTS = Table(
    "photo_enrichments",
    (
        "owner_id",
        "photo_id",
        *_ROOT,
        "stamp",
        "event_id",
        "object_uri",
        "content_sha256",
        "size_bytes",
        "media_type",
        "width",
        "height",
        "captured_at",
        "uploaded_at",
        "admitted_at",
        "enriched_at",
        "source",
        "labels.model",
        "labels.name",
        "labels.score",
        "models.name",
        "models.version",
        "missing",
        "worker_version",
        "taken_at",
        "utc_offset_minutes",
        "latitude",
        "longitude",
        "altitude_metres",
        "camera_make",
        "camera_model",
        "lens",
        "exposure_seconds",
        "aperture",
        "iso",
        "focal_length_millimetres",
        "pdq",
        "pdq_quality",
        "sharpness",
        "regions.model",
        "regions.name",
        "regions.score",
        "regions.left",
        "regions.top",
        "regions.width",
        "regions.height",
        "regions.points",
        "regions.text",
    ),
)

PHOTO_EMBEDDINGS = Table("photo_embeddings", ("owner_id", "photo_id", "model", "version", *_ROOT, "embedding"))

PHOTO_OUTCOMES = Table(
    "photo_outcomes",
    (*_ROOT, "stamp", "outcome", "reason", "source", "media_type", "size_bytes", "uploaded_at", "at"),
)

DEAD_LETTERS = Table(
    "dead_letters",
    (
        "reason",
        "detail",
        "advice",
        "stage",
        "owner_id",
        "photo_id",
        "event_id",
        "object_uri",
        "source",
        *_ROOT,
        "payload_bytes",
        "rejected_at",
        "worker_version",
    ),
)

METRICS = Table("metrics", ("name", "agent", "worker", "labels", "at", "value", "buckets.index", "buckets.count"))

TABLES = (PHOTO_ENRICHMENTS, PHOTO_EMBEDDINGS, PHOTO_OUTCOMES, DEAD_LETTERS, METRICS)
