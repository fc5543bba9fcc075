"""store: records to rows. It decides nothing: what a record says is what its rows say."""

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeVar

from agents.batch import Batch, Delivery
from agents.measure import Measure
from schemas import codec
from schemas.errors import Reason, Unreadable
from schemas.events import Camera, DeadLetter, Metric, PhotoEnriched, PhotoGrouped, PhotoRejected, Stamp
from schemas.metrics import SKIPPED
from schemas.tables import DEAD_LETTERS, METRICS, PHOTO_EMBEDDINGS, PHOTO_ENRICHMENTS, PHOTO_OUTCOMES, Rows, Table
from schemas.topics import DEAD_LETTER, GROUPED
from schemas.topics import METRICS as OPS_METRICS

Row = tuple[object, ...]
Skippable = TypeVar("Skippable", DeadLetter, Metric)

_REASONS = frozenset(Reason)

# What ClickHouse's DateTime64 can say. Uploaders' clocks can say more, in events that are rejected for it.
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(2299, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)


def store(batch: Batch, *, measure: Measure) -> list[Rows]:
    """The rows that a batch of photos.grouped, photos.dead_letter or ops.metrics comes to; tables without rows are left out.

    A dead letter or metric that it cannot read is counted and skipped. On photos.grouped that is a bug: raises Unreadable.
    """
    rows: dict[Table, list[Row]] = defaultdict(list)
    for table, row in _rows(batch, measure):
        rows[table].append(row)
    return [Rows(table, values) for table, values in rows.items()]


def _rows(batch: Batch, measure: Measure) -> Iterator[tuple[Table, Row]]:
    if batch.topic == GROUPED.name:
        for photo in batch.deliveries(PhotoGrouped):
            yield from _of_photo(photo)
    elif batch.topic == DEAD_LETTER.name:
        for letter in _readable(batch, DeadLetter, measure):
            yield DEAD_LETTERS, _dead_letter(letter)
    elif batch.topic == OPS_METRICS.name:
        for metric in _readable(batch, Metric, measure):
            if math.isfinite(metric.value):
                yield METRICS, _metric(metric)
            else:  # one would spoil every sum that it is in, for good
                measure.count(SKIPPED, topic=batch.topic)
    else:
        raise ValueError(f"store has no table for {batch.topic}")


def _readable(batch: Batch, kind: type[Skippable], measure: Measure) -> Iterator[Skippable]:
    for record in batch.records:
        try:
            yield codec.decode(record.value or b"", kind)
        except Unreadable:
            measure.count(SKIPPED, topic=batch.topic)


def _of_photo(photo: Delivery[PhotoGrouped]) -> Iterator[tuple[Table, Row]]:
    grouped, outcome = photo.event, photo.event.outcome
    yield PHOTO_OUTCOMES, _outcome(photo)
    if grouped.stamp == Stamp.DELETED:
        return  # A late outcome of a photo that was deleted: counted, and nothing of it kept.
    if isinstance(outcome, PhotoRejected):
        yield DEAD_LETTERS, _rejection(grouped, outcome)
        return
    yield PHOTO_ENRICHMENTS, _enrichment(grouped, outcome)
    for result in outcome.models:
        if result.embedding:
            which = (grouped.owner_id, grouped.photo_id, result.model, result.version)
            yield PHOTO_EMBEDDINGS, (*which, *_root(grouped), result.embedding)


def _outcome(photo: Delivery[PhotoGrouped]) -> Row:
    outcome = photo.event.outcome
    if isinstance(outcome, PhotoRejected):
        kind, reason, media_type = "rejected", outcome.reason, ""
    else:
        kind, reason, media_type = "partial" if outcome.missing else "enriched", "", outcome.media_type
    return (
        *_root(photo.event),
        photo.event.stamp,
        kind,
        reason,
        outcome.source,
        media_type,
        outcome.size_bytes,
        _sayable(outcome.uploaded_at),
        photo.appended_at,
    )


def _enrichment(grouped: PhotoGrouped, seen: PhotoEnriched) -> Row:
    labels = [(result.model, label.name, label.score) for result in seen.models for label in result.labels]
    regions = [(result.model, region) for result in seen.models for region in result.regions]
    camera = seen.camera or Camera()
    return (
        grouped.owner_id,
        grouped.photo_id,
        *_root(grouped),
        grouped.stamp,
        seen.event_id,
        seen.object_uri,
        seen.content_sha256.hex(),
        seen.size_bytes,
        seen.media_type,
        seen.width,
        seen.height,
        _sayable_or_none(seen.captured_at),
        _sayable(seen.uploaded_at),
        _sayable(seen.admitted_at),
        _sayable(seen.enriched_at),
        seen.source,
        [model for model, _, _ in labels],
        [name for _, name, _ in labels],
        [score for _, _, score in labels],
        [result.model for result in seen.models],
        [result.version for result in seen.models],
        seen.missing,
        seen.worker_version,
        _sayable_or_none(camera.taken_at),
        camera.utc_offset_minutes,
        camera.latitude,
        camera.longitude,
        camera.altitude_metres,
        camera.make or "",
        camera.model or "",
        camera.lens or "",
        camera.exposure_seconds,
        camera.aperture,
        camera.iso,
        camera.focal_length_millimetres,
        seen.pdq.hex(),
        seen.pdq_quality,
        seen.sharpness,
        [model for model, _ in regions],
        [region.name for _, region in regions],
        [region.score for _, region in regions],
        [region.left for _, region in regions],
        [region.top for _, region in regions],
        [region.width for _, region in regions],
        [region.height for _, region in regions],
        [region.points for _, region in regions],
        [region.text for _, region in regions],
    )


def _rejection(grouped: PhotoGrouped, rejected: PhotoRejected) -> Row:
    return (
        rejected.reason,
        rejected.detail,
        _advice(rejected.reason),
        rejected.stage,
        grouped.owner_id,
        grouped.photo_id,
        rejected.event_id,
        rejected.object_uri,
        rejected.source,
        *_root(grouped),
        0,
        _sayable(rejected.rejected_at),
        rejected.worker_version,
    )


def _dead_letter(letter: DeadLetter) -> Row:
    nobody = ("", "", "", "", "")
    return (
        letter.reason,
        letter.detail,
        _advice(letter.reason),
        "admit",  # who alone reads photos.events
        *nobody,
        *_root(letter),
        letter.payload_bytes,
        _sayable(letter.rejected_at),
        letter.worker_version,
    )


def _metric(metric: Metric) -> Row:
    return (
        metric.name,
        metric.agent,
        metric.worker,
        dict(sorted(metric.labels.items())),
        _sayable(metric.at),
        metric.value,
        [bucket.index for bucket in metric.buckets],
        [bucket.count for bucket in metric.buckets],
    )


def _root(event: PhotoGrouped | DeadLetter) -> Row:
    return (event.root.generation, event.root.partition, event.root.offset, event.attempt, event.fill)


def _advice(reason: str) -> str:
    # A newer worker can know reasons that this one does not.
    return Reason(reason).advice if reason in _REASONS else ""


def _sayable(moment: datetime) -> datetime:
    return min(max(moment, _EARLIEST), _LATEST)


def _sayable_or_none(moment: datetime | None) -> datetime | None:
    return moment if moment and moment == _sayable(moment) else None
