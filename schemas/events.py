"""The events, as Python sees them: one frozen dataclass a record of schemas/avro, field for field (a test holds them equal).

Times are aware datetimes in UTC, kept to the millisecond; digests are raw bytes; sequences are lists, as they are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")


def make(kind: type[T], fields: dict[str, Any]) -> T:
    """As kind(**fields) with every field given, without its one object.__setattr__ a field. The fields are the event's from now on."""
    event = object.__new__(kind)
    object.__setattr__(event, "__dict__", fields)
    return event


@dataclass(frozen=True, order=True)
class Root:
    """The upload event that everything about a photo stems from; ordered."""

    generation: int
    partition: int
    offset: int


@dataclass(frozen=True)
class Redrive:
    """Which upload is looked at again, and for the how manieth time (schemas/redrive.py)."""

    root: Root
    attempt: int


@dataclass(frozen=True, kw_only=True)
class PhotoUploaded:
    """A photo was uploaded: what upload services publish. `redrive` is not theirs to set."""

    event_id: str
    photo_id: str
    owner_id: str
    object_uri: str
    content_sha256: bytes
    size_bytes: int
    media_type: str
    captured_at: datetime | None = None
    uploaded_at: datetime
    source: str
    traceparent: str | None = None
    redrive: Redrive | None = None


@dataclass(frozen=True, kw_only=True)
class PhotoAdmitted:
    """A photo that admit has taken: valid, and no repeat."""

    event_id: str
    photo_id: str
    owner_id: str
    object_uri: str
    content_sha256: bytes
    size_bytes: int
    media_type: str
    captured_at: datetime | None = None
    uploaded_at: datetime
    source: str
    traceparent: str | None = None
    root: Root
    attempt: int = 0
    fill: int = 0
    admitted_at: datetime


@dataclass(frozen=True)
class Label:
    """One thing that a model says is in the photo; score 0 to 1."""

    name: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Region:
    """Where one thing is in the photo: fractions 0 to 1 of its width and height as shown; `name` and `score` as in Label.

    `points`: x, y of each key point in turn, in the model's order (corners of a line of text, eyes of a face); `text`: what is written.
    """

    name: str
    score: float
    left: float
    top: float
    width: float
    height: float
    points: Sequence[float] = field(default_factory=list)
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """What one model saw: labels and regions, most confident first; embedding: float32, little-endian, of length 1 (L2), or empty."""

    model: str
    version: str
    labels: Sequence[Label] = field(default_factory=list)
    embedding: bytes = b""
    regions: Sequence[Region] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """What the camera wrote about a photo (EXIF); None is what it does not say, or not so that it can be true.

    `taken_at`: UTC; without `utc_offset_minutes` what the camera's clock showed, taken for UTC, for lack of better.
    """

    taken_at: datetime | None = None
    utc_offset_minutes: int | None = None
    latitude: float | None = None  # degrees, north positive
    longitude: float | None = None  # degrees, east positive
    altitude_metres: float | None = None  # above the sea
    make: str | None = None
    model: str | None = None
    lens: str | None = None
    exposure_seconds: float | None = None
    aperture: float | None = None  # f-number
    iso: int | None = None
    focal_length_millimetres: float | None = None


@dataclass(frozen=True, kw_only=True)
class PhotoEnriched:
    """What was seen in a photo; `missing` names the models that have not answered.

    `pdq`: 32 bytes of which nearly the same pictures share most, and `pdq_quality`, 0 to 100, how much there was to be told apart
    (agents/photo/pdq.py); `sharpness`: agents/photo/sharpness.py. Empty and 0 in records of versions that did not look.
    """

    event_id: str
    photo_id: str
    owner_id: str
    object_uri: str
    content_sha256: bytes
    size_bytes: int
    media_type: str
    captured_at: datetime | None = None
    uploaded_at: datetime
    source: str
    traceparent: str | None = None
    root: Root
    attempt: int = 0
    fill: int = 0
    admitted_at: datetime
    enriched_at: datetime
    width: int
    height: int
    models: Sequence[ModelResult]
    missing: Sequence[str] = field(default_factory=list)
    worker_version: str
    camera: Camera | None = None
    pdq: bytes = b""
    pdq_quality: int = 0
    sharpness: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PhotoSeen:
    """What was seen in a content, whoever's photo it is: fields as in PhotoEnriched. `seen_at`: when Kafka had its first photo."""

    seen_at: datetime
    media_type: str
    width: int
    height: int
    models: Sequence[ModelResult]
    camera: Camera | None = None
    pdq: bytes = b""
    pdq_quality: int = 0
    sharpness: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PhotoWaiting:
    """A photo that something is missing of; `dependencies` are what it waits for: model:NAME or root:URL.

    `seen`: whether a PhotoEnriched without what is missing has been published.
    """

    photo: PhotoAdmitted
    dependencies: Sequence[str]
    since: datetime
    seen: bool


@dataclass(frozen=True, kw_only=True)
class PhotoRejected:
    """A photo that cannot be enriched, and why; `reason` is one of schemas.errors.Reason."""

    event_id: str
    photo_id: str
    owner_id: str
    object_uri: str
    content_sha256: bytes
    size_bytes: int
    captured_at: datetime | None = None
    uploaded_at: datetime
    source: str
    traceparent: str | None = None
    root: Root
    attempt: int = 0
    fill: int = 0
    stage: str
    reason: str
    detail: str
    rejected_at: datetime
    worker_version: str


class Stamp(StrEnum):
    """What an outcome is to its owner's library. Rollups count `first`."""

    FIRST = "first"
    FILLED = "filled"
    AGAIN = "again"
    DELETED = "deleted"


@dataclass(frozen=True, kw_only=True)
class PhotoGrouped:
    """An outcome with its place in its owner's library. Exactly one of enriched and rejected is set."""

    photo_id: str
    owner_id: str
    root: Root
    attempt: int = 0
    fill: int = 0
    stamp: str
    enriched: PhotoEnriched | None = None
    rejected: PhotoRejected | None = None

    @property
    def outcome(self) -> PhotoEnriched | PhotoRejected:
        """The one that is set."""
        outcome = self.enriched or self.rejected
        if outcome is None:
            raise ValueError(f"photo {self.root}: neither enriched nor rejected is set")
        return outcome


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """Bytes from photos.events that nobody can attribute to an owner."""

    root: Root
    attempt: int = 0
    fill: int = 0
    reason: str
    detail: str
    payload: bytes
    payload_bytes: int
    rejected_at: datetime
    worker_version: str


@dataclass(frozen=True)
class Bucket:
    """One bucket of a histogram: `count` observations in (1.2^(index-1), 1.2^index] milliseconds."""

    index: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One measurement of a worker over one interval; declared in schemas/metrics.py."""

    name: str
    agent: str
    worker: str
    labels: Mapping[str, str] = field(default_factory=dict)
    at: datetime
    value: float
    buckets: Sequence[Bucket] = field(default_factory=list)


Event = (
    PhotoUploaded
    | PhotoAdmitted
    | PhotoEnriched
    | PhotoRejected
    | PhotoGrouped
    | DeadLetter
    | Metric
    | PhotoSeen
    | PhotoWaiting
)

EVENTS: tuple[type[Event], ...] = (
    PhotoUploaded,
    PhotoAdmitted,
    PhotoEnriched,
    PhotoRejected,
    PhotoGrouped,
    DeadLetter,
    Metric,
    PhotoSeen,
    PhotoWaiting,
)
