"""What is said of a photo without asking a model, and how a decoder tells it: numbers in their places, and text."""

import math
import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from agents.photo.decode import MEDIA_TYPES, MOST_PIXELS, Picture
from agents.photo.pdq import pdq
from agents.photo.sharpness import sharpness
from agents.vision.model import Frame
from schemas.events import Camera
from schemas.instants import instant, milliseconds

_HASHED_PIXELS = 256
"""On the shorter side: pictures of one size can be compared, and PDQ costs 3 ms, not 2 s as on 12 megapixels; of 256 bits it moves 8."""

_HEAD = struct.Struct("<B4I32sBf9d")
_NUMBERS = (
    "taken_at",
    "utc_offset_minutes",
    "latitude",
    "longitude",
    "altitude_metres",
    "exposure_seconds",
    "aperture",
    "iso",
    "focal_length_millimetres",
)
_WHOLE = ("utc_offset_minutes", "iso")
_TEXTS = ("make", "model", "lens")
_LONGEST_TEXT = 1024  # bytes: agents/photo/exif.py cuts at 256 characters
_MOST = 1e14  # of any number: more than any of them can be; in milliseconds, 3,000 years

LONGEST = _HEAD.size + len(_TEXTS) * (_LONGEST_TEXT + 1)
"""Bytes of packed facts."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Fields as in PhotoSeen. `width` and `height` are the photo's own, upright; `camera` is None when it says nothing."""

    media_type: str
    width: int
    height: int
    camera: Camera | None
    pdq: bytes
    pdq_quality: int
    sharpness: float


def facts(picture: Picture) -> Facts:
    """All of it. Costs 5 ms."""
    small = _small(picture)
    hashed = pdq(small)
    return Facts(
        media_type=picture.media_type,
        width=picture.width,
        height=picture.height,
        camera=picture.camera if picture.camera != Camera() else None,
        pdq=hashed.bits,
        pdq_quality=hashed.quality,
        sharpness=float(np.float32(sharpness(small))),  # as events carry it
    )


def _small(picture: Picture) -> Picture:
    """Whatever models need: the same picture has to have the same hash next year."""
    height, width, _ = picture.pixels.shape
    shrink = _HASHED_PIXELS / min(width, height)
    if shrink >= 1:
        return picture
    size = round(width * shrink), round(height * shrink)
    return replace(picture, pixels=np.asarray(Image.fromarray(picture.pixels).resize(size, Image.Resampling.BOX)))


def pack(facts: Facts, frame: Frame) -> bytes:
    """With the frame of the picture that models are shown. At most LONGEST bytes."""
    camera = facts.camera or Camera()
    numbers = [_number(getattr(camera, name), name) for name in _NUMBERS]
    texts = [(getattr(camera, name) or "").encode()[:_LONGEST_TEXT] for name in _TEXTS]
    kind = MEDIA_TYPES.index(facts.media_type)
    said = (facts.pdq, facts.pdq_quality, facts.sharpness)
    return _HEAD.pack(kind, facts.width, facts.height, *frame, *said, *numbers) + b"\0".join(texts)


def unpack(data: bytes | bytearray) -> tuple[Facts, Frame]:
    """Raises ValueError when these are not the facts of any photo."""
    try:
        return _unpack(data)
    except OverflowError as error:
        raise ValueError("no time") from error


def _unpack(data: bytes | bytearray) -> tuple[Facts, Frame]:
    if len(data) < _HEAD.size:
        raise ValueError("too short")
    kind, width, height, across, down, bits, quality, sharp, *numbers = _HEAD.unpack_from(data)
    texts = [text.decode(errors="replace") for text in data[_HEAD.size :].split(b"\0")]
    if not (
        kind < len(MEDIA_TYPES)
        and 1 <= width * height <= MOST_PIXELS
        and 1 <= across * down <= width * height
        and quality <= 100
        and 0 <= sharp < _MOST
        and len(texts) == len(_TEXTS)
        and not any(abs(number) >= _MOST for number in numbers)
    ):
        raise ValueError("no photo is so")
    said: dict[str, Any] = {
        name: None if math.isnan(number) else number for name, number in zip(_NUMBERS, numbers, strict=True)
    }
    said |= {name: int(said[name]) for name in _WHOLE if said[name] is not None}
    if any(abs(said[name] or 0) >= 1 << 31 for name in _WHOLE):
        raise ValueError("no photo is so")
    if said["taken_at"] is not None:
        said["taken_at"] = instant(int(said["taken_at"]))
    said |= {name: text or None for name, text in zip(_TEXTS, texts, strict=True)}
    camera = Camera(**said)
    known = Facts(
        media_type=MEDIA_TYPES[kind],
        width=width,
        height=height,
        camera=camera if camera != Camera() else None,
        pdq=bits,
        pdq_quality=quality,
        sharpness=sharp,
    )
    return known, Frame(across, down)


def _number(value: Any, name: str) -> float:
    number = math.nan if value is None else float(milliseconds(value) if name == "taken_at" else value)
    return number if abs(number) < _MOST else math.nan
