"""What the camera wrote about a photo (EXIF: CIPA DC-008). Any field may be missing or nonsense, and costs only itself."""

import math
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from PIL import ExifTags, Image

from schemas.events import Camera

T = TypeVar("T")

_LONGEST_TEXT = 256
_YEARS = range(1900, 2300)

# What Pillow raises on directories and values that are not what their headers say.
_NONSENSE = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError, OSError, EOFError, SyntaxError),
    struct.error,
)

_TIME = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


def read(exif: Image.Exif) -> Camera:
    """What an image's getexif() has. Raises nothing."""
    base, gps = ExifTags.Base, ExifTags.GPS
    main = _Directory(lambda: exif)
    camera = _Directory(lambda: exif.get_ifd(ExifTags.IFD.Exif))
    place = _Directory(lambda: exif.get_ifd(ExifTags.IFD.GPSInfo))
    latitude = place.get(gps.GPSLatitude, _degrees, 90, place.get(gps.GPSLatitudeRef, _sign, "N", "S"))
    longitude = place.get(gps.GPSLongitude, _degrees, 180, place.get(gps.GPSLongitudeRef, _sign, "E", "W"))
    somewhere = latitude is not None and longitude is not None
    taken_at, offset = (
        _time(camera, base.DateTimeOriginal, base.OffsetTimeOriginal, base.SubsecTimeOriginal)
        or _time(camera, base.DateTimeDigitized, base.OffsetTimeDigitized, base.SubsecTimeDigitized)
        or (None, None)
    )
    return Camera(
        taken_at=taken_at,
        utc_offset_minutes=None if offset is None else offset // timedelta(minutes=1),
        latitude=latitude if somewhere else None,
        longitude=longitude if somewhere else None,
        altitude_metres=place.get(gps.GPSAltitude, _altitude, place.get(gps.GPSAltitudeRef, _below_the_sea)),
        make=main.get(base.Make, _text),
        model=main.get(base.Model, _text),
        lens=camera.get(base.LensModel, _text),
        exposure_seconds=camera.get(base.ExposureTime, _positive),
        aperture=camera.get(base.FNumber, _positive),
        iso=camera.get(base.ISOSpeedRatings, _iso),
        focal_length_millimetres=camera.get(base.FocalLength, _positive),
    )


class _Directory:
    """Fields by their tags."""

    def __init__(self, load: Callable[[], Any]) -> None:
        try:
            self._fields = load()
        except _NONSENSE:
            self._fields = {}

    def get(self, tag: int, parse: Callable[..., T], *more: Any) -> T | None:
        """The field as `parse(value, *more)` has it; None if it is missing or nonsense."""
        try:
            value = self._fields.get(tag)
            return None if value is None else parse(value, *more)
        except _NONSENSE:
            return None


def _time(camera: _Directory, when: int, offset: int, fraction: int) -> tuple[datetime, timedelta | None] | None:
    """In UTC, to the millisecond, and how far the clock was from that."""
    time = camera.get(when, _clock)
    if time is None:
        return None
    ahead = camera.get(offset, _offset)
    return time - (ahead or timedelta()) + timedelta(milliseconds=camera.get(fraction, _milliseconds) or 0), ahead


def _text(value: Any) -> str:
    """Without what cameras fill their fixed lengths with."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    text = "".join(char if char.isprintable() else " " for char in text.partition("\0")[0]).strip()
    if not text:
        raise ValueError("empty")
    return text[:_LONGEST_TEXT]


def _clock(value: Any) -> datetime:
    found = _TIME.match(_text(value))
    if not found:
        raise ValueError("no time")
    time = datetime(*map(int, found.groups()), tzinfo=UTC)  # type: ignore[misc, arg-type]
    if time.year not in _YEARS:
        raise ValueError("no time of a photo")
    return time


def _offset(value: Any) -> timedelta:
    found = _OFFSET.fullmatch(_text(value))
    if not found:
        raise ValueError("no offset")
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset > timedelta(hours=14) or int(minutes) > 59:
        raise ValueError("no offset on Earth")
    return -offset if sign == "-" else offset


def _milliseconds(value: Any) -> int:
    """Of digits behind the point."""
    digits = _text(value)
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("no digits")
    return int(digits[:3].ljust(3, "0"))


def _number(value: Any) -> float:
    number = float(value[0] if isinstance(value, tuple) else value)
    if not math.isfinite(number):
        raise ValueError("no number")
    return number


def _positive(value: Any) -> float:
    number = _number(value)
    if number <= 0:
        raise ValueError("not positive")
    return number


def _iso(value: Any) -> int:
    number = int(_positive(value))
    if not 0 < number < 1 << 31:
        raise ValueError("no sensitivity")
    return number


def _sign(value: Any, positive: str, negative: str) -> int:
    return {positive: 1, negative: -1}[_text(value).upper()]


def _degrees(value: Any, most: int, sign: int | None) -> float:
    """Degrees, minutes and seconds as one number."""
    degrees, minutes, seconds = map(_number, ((part,) for part in value))
    number = degrees + minutes / 60 + seconds / 3600
    if sign is None or min(degrees, minutes, seconds) < 0 or number > most:
        raise ValueError("no place")
    return sign * number


def _below_the_sea(value: Any) -> bool:
    return (value[0] if isinstance(value, bytes | tuple) else int(value)) == 1


def _altitude(value: Any, below: bool | None) -> float:
    return -_number(value) if below else _number(value)
