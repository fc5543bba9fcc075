"""Bytes to pixels: whatever camera and format, the same kind of picture, and no larger than the models need it."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from schemas.errors import Reason, Rejected

Pixels: TypeAlias = npt.NDArray[np.uint8]

MOST_PIXELS = 120_000_000
"""Of a picture, true size: medium format cameras have 102 million. A progressive JPEG takes 6 bytes a pixel to decode."""

_FORMATS = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # a JPEG with further pictures behind it: phones write it
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
}
_OPENED = tuple(name for name in _FORMATS if name != "MPO")  # Pillow finds it by itself behind JPEG

_MAGIC = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"GIF8", b"II*\0", b"MM\0*", b"BM")
_HEIC = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftypheim", b"ftypheis")
_AVIF = (b"ftypavif", b"ftypavis")

# What Pillow's decoders raise on bytes that are not what the format says (tests/property/test_decode.py damages files).
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)

_ORIENTATION = 0x0112  # EXIF

# Pillow would warn and then refuse by limits of its own, which lie on both sides of ours.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded photo, upright, sRGB.

    `pixels` is [height, width, 3], and smaller than the photo where that serves the models just as well; `width` and
    `height` are the photo's own.
    """

    pixels: Pixels
    width: int
    height: int
    media_type: str


def decode(data: bytes, *, short_side: int) -> Picture:
    """The photo, scaled down by a whole number as far as its shorter side stays at least `short_side` pixels.

    Raises Rejected: NOT_A_PHOTO, DAMAGED_PHOTO, OBJECT_TOO_LARGE for too many pixels.
    """
    try:
        with warnings.catch_warnings():
            return _decode(data, short_side)
    except _DAMAGE as error:
        raise _rejection(data, error) from error


def _decode(data: bytes, short_side: int) -> Picture:
    image: Image.Image = Image.open(io.BytesIO(data), formats=_OPENED)
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise Rejected(
            Reason.OBJECT_TOO_LARGE, f"the photo has {width} × {height} pixels, at most {MOST_PIXELS:,} are decoded"
        )
    media_type = _FORMATS[image.format or ""]
    image.draft(None, (short_side, short_side))  # JPEG: the decoder scales, at a fraction of the cost
    image.load()
    turned = image.size
    image = ImageOps.exif_transpose(image) if _orientation(image) > 1 else image
    if image.size != turned:
        width, height = height, width
    return Picture(np.asarray(_reduced(_srgb(image), short_side)), width, height, media_type)
