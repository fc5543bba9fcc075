"""What a PhotoUploaded must keep to, beyond its Avro types: the bounds that schemas/avro/PhotoUploaded.avsc documents."""

import dataclasses
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import attrgetter, le

from schemas.errors import Reason, Rejected
from schemas.events import PhotoUploaded

_LONGEST = {"event_id": 128, "photo_id": 128, "owner_id": 128, "object_uri": 2048, "media_type": 256, "source": 64}
"""In characters."""

_TEXTS: Callable[[PhotoUploaded], tuple[str, ...]] = attrgetter(*_LONGEST)

_LONGEST_ATTRIBUTABLE = 1024
"""Characters of an id. A longer one is not carried on, neither whole nor cut short: it names nobody."""

_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(2299, 12, 31, tzinfo=UTC)
"""What ClickHouse's DateTime64(3) holds."""

_CLOCK_SKEW = timedelta(days=1)
"""By which an uploader's clock may run ahead of the broker's."""

# Unicode's category Cc.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

# https://www.w3.org/TR/trace-context/#traceparent-header, version 00; other versions may end in more fields.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]*)?")
_LONGEST_TRACEPARENT = 256


def check_attributable(photo: PhotoUploaded) -> None:
    """Raise Rejected, naming the field, if nobody could say whose event it is, or which."""
    for name in ("owner_id", "photo_id", "event_id"):
        value = getattr(photo, name)
        if not value:
            raise _invalid(name, "is empty")
        if len(value) > _LONGEST_ATTRIBUTABLE:
            raise _invalid(name, f"has {len(value)} characters, at most {_LONGEST[name]} are allowed")


def check(photo: PhotoUploaded, appended_at: datetime) -> None:
    """Raise Rejected, naming the field, if a field is out of its bounds."""
    texts = _TEXTS(photo)
    # Nearly always enough, and much cheaper than to look at each.
    if not (all(texts) and all(map(le, map(len, texts), _LONGEST.values())) and "".join(texts).isprintable()):
        _check_each(texts)
    if photo.size_bytes < 1:
        raise _invalid("size_bytes", f"is {photo.size_bytes}, at least 1 is allowed")
    if photo.captured_at is not None and not _EARLIEST <= photo.captured_at <= _LATEST:
        raise _invalid("captured_at", f"is {photo.captured_at.date()}, outside 1900 to 2299")
    if not _EARLIEST <= photo.uploaded_at <= appended_at + _CLOCK_SKEW:
        raise _invalid(
            "uploaded_at",
            f"is {photo.uploaded_at.date()}, before 1900 or more than a day after the broker got the event",
        )
    if photo.traceparent is not None and not _traceparent(photo.traceparent):
        raise _invalid("traceparent", "is not of the form that W3C Trace Context gives it")


def _check_each(texts: tuple[str, ...]) -> None:
    for (name, longest), value in zip(_LONGEST.items(), texts, strict=True):
        if len(value) > longest:
            raise _invalid(name, f"has {len(value)} characters, at most {longest} are allowed")
        if not value and name != "media_type":
            raise _invalid(name, "is empty")
        if _CONTROL.search(value):
            raise _invalid(name, "contains a control character")


def within_bounds(photo: PhotoUploaded, appended_at: datetime) -> PhotoUploaded:
    """The event as it can be carried on and stored although it was refused: what is out of bounds cut, dropped or replaced.

    Ids stay as they are: it must be attributable.
    """
    captured = photo.captured_at
    uploaded = photo.uploaded_at
    return dataclasses.replace(
        photo,
        object_uri=photo.object_uri[: _LONGEST["object_uri"]],
        media_type=photo.media_type[: _LONGEST["media_type"]],
        source=photo.source[: _LONGEST["source"]],
        size_bytes=max(0, photo.size_bytes),
        captured_at=captured if captured is not None and _EARLIEST <= captured <= _LATEST else None,
        uploaded_at=uploaded if _EARLIEST <= uploaded <= appended_at + _CLOCK_SKEW else appended_at,
        traceparent=photo.traceparent if photo.traceparent and _traceparent(photo.traceparent) else None,
    )


def _traceparent(value: str) -> bool:
    if len(value) > _LONGEST_TRACEPARENT:
        return False
    match = _TRACEPARENT.fullmatch(value)
    return match is not None and (match[1] is None or not value.startswith("00"))


def _invalid(field: str, what: str) -> Rejected:
    return Rejected(Reason.INVALID_EVENT, f"{field} {what}")
