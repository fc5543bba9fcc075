"""Events to test with: complete, plausible, and different where a test says so."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.events import (
    Bucket,
    Camera,
    DeadLetter,
    Label,
    Metric,
    ModelResult,
    PhotoAdmitted,
    PhotoEnriched,
    PhotoGrouped,
    PhotoRejected,
    PhotoSeen,
    PhotoUploaded,
    PhotoWaiting,
    Redrive,
    Region,
    Root,
)


def vector(*numbers: float) -> bytes:
    """An embedding as the events carry it."""
    return struct.pack(f"<{len(numbers)}f", *numbers)


NOON = datetime(2026, 3, 1, 12, 0, 0, 125000, UTC)


def uploaded(**fields: Any) -> PhotoUploaded:
    return PhotoUploaded(**(_UPLOAD | fields))


def admitted(**fields: Any) -> PhotoAdmitted:
    return PhotoAdmitted(**(_UPLOAD | _LINEAGE | {"admitted_at": NOON + timedelta(seconds=1)} | fields))


def enriched(**fields: Any) -> PhotoEnriched:
    return PhotoEnriched(**(_UPLOAD | _LINEAGE | _SEEN | fields))


def seen(**fields: Any) -> PhotoSeen:
    known = {name: value for name, value in _SEEN.items() if name in PhotoSeen.__dataclass_fields__}
    return PhotoSeen(**(known | {"seen_at": NOON, "media_type": "image/jpeg"} | fields))


def waiting(photo: PhotoAdmitted | None = None, **fields: Any) -> PhotoWaiting:
    photo = photo or admitted()
    return PhotoWaiting(
        **({"photo": photo, "dependencies": ["model:face_detect"], "since": NOON, "seen": True} | fields)
    )


def rejected(**fields: Any) -> PhotoRejected:
    return PhotoRejected(**(_UPLOAD_SEEN_BY_NOBODY | _LINEAGE | _REJECTION | fields))


def grouped(outcome: PhotoEnriched | PhotoRejected | None = None, **fields: Any) -> PhotoGrouped:
    outcome = outcome or enriched()
    of_outcome = {name: getattr(outcome, name) for name in ("photo_id", "owner_id", "root", "attempt", "fill")}
    kind = {"enriched" if isinstance(outcome, PhotoEnriched) else "rejected": outcome}
    return PhotoGrouped(**(of_outcome | kind | {"stamp": "first"} | fields))


def dead_letter(**fields: Any) -> DeadLetter:
    return DeadLetter(**(_LINEAGE | _DEAD | fields))


def metric(**fields: Any) -> Metric:
    return Metric(**(_METRIC | fields))


_UPLOAD: dict[str, Any] = {
    "event_id": "event-1",
    "photo_id": "photo-1",
    "owner_id": "owner-1",
    "object_uri": "file:///photos/coffee.jpg",
    "content_sha256": bytes(range(32)),
    "size_bytes": 12_345,
    "media_type": "image/jpeg",
    "captured_at": NOON - timedelta(days=30),
    "uploaded_at": NOON,
    "source": "upload-api",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
REDRIVE = Redrive(Root(1, 3, 42), 1)
_UPLOAD_SEEN_BY_NOBODY = {name: value for name, value in _UPLOAD.items() if name != "media_type"}
_LINEAGE: dict[str, Any] = {"root": Root(1, 3, 42), "attempt": 0, "fill": 0}
_SEEN: dict[str, Any] = {
    "admitted_at": NOON + timedelta(seconds=1),
    "enriched_at": NOON + timedelta(seconds=2),
    "width": 600,
    "height": 400,
    "models": [
        ModelResult(
            model="scene_label",
            version="1",
            labels=[Label("espresso", 0.9375)],
            embedding=vector(0.6015625, 0.796875),
            regions=[],
        ),
        ModelResult(
            model="face_detect",
            version="1",
            labels=[],
            regions=[
                Region(
                    name="face",
                    score=0.75,
                    left=0.25,
                    top=0.125,
                    width=0.5,
                    height=0.375,
                    points=[0.375, 0.25, 0.5, 0.25],
                )
            ],
        ),
    ],
    "missing": [],
    "worker_version": "0.1.0",
    "camera": Camera(
        taken_at=NOON - timedelta(days=30),
        utc_offset_minutes=-210,
        latitude=48.85837,
        longitude=2.294481,
        altitude_metres=35.5,
        make="Apple",
        model="iPhone 16",
        lens="back camera",
        exposure_seconds=0.008,
        aperture=1.5,
        iso=64,
        focal_length_millimetres=6.75,
    ),
    "pdq": bytes(range(32, 64)),
    "pdq_quality": 88,
    "sharpness": 412.5,
}
_REJECTION: dict[str, Any] = {
    "stage": "enrich",
    "reason": "damaged_photo",
    "detail": "the file ends in the middle of the picture",
    "rejected_at": NOON + timedelta(seconds=2),
    "worker_version": "0.1.0",
}
_DEAD: dict[str, Any] = {
    "reason": "unreadable_event",
    "detail": "the value does not begin with a zero byte and a schema id (Confluent wire format)",
    "payload": b"{}",
    "payload_bytes": 2,
    "rejected_at": NOON,
    "worker_version": "0.1.0",
}
_METRIC: dict[str, Any] = {
    "name": "photos_inference_seconds",
    "agent": "enrich",
    "worker": "enrich-host-1",
    "labels": {"model": "scene_label"},
    "at": NOON,
    "value": 0.25,
    "buckets": [Bucket(28, 3)],
}

EVERY_KIND = (
    *(uploaded(redrive=REDRIVE), admitted(), enriched(), rejected(), grouped(), dead_letter(), metric()),
    *(seen(), waiting()),
)
