"""Bytes to pixels: whatever camera and format, the same kind of picture, and no larger than the models need it."""

import io
import struct
import zlib
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pi_heif
from PIL import AvifImagePlugin, Image, ImageCms, UnidentifiedImageError, features

from agents.photo import exif
from schemas.errors import Reason, Rejected
from schemas.events import Camera

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
    "HEIF": "image/heic",  # of all that HEIF may hold, HEVC is what can be decoded here
}
MEDIA_TYPES = tuple(dict.fromkeys(_FORMATS.values()))
_OPENED = tuple(name for name in _FORMATS if name != "MPO")  # Pillow finds it by itself behind JPEG

_MAGIC = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"GIF8", b"II*\0", b"MM\0*", b"BM")
_BOXES = tuple(b"ftyp" + brand for brand in (b"avi", b"hei", b"hev", b"mif1", b"msf1"))
"""How AVIF and HEIF go on after the length of their first box (ISO/IEC 23008-12, annex B)."""

_OF_THE_PICTURE = (b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip")
"""Boxes at the top level of such files."""

# What Pillow's decoders raise on bytes that are not what the format says (a test damages files in many places). A warning
# is raised only where Python is told to; it says the same.
_DAMAGE = (
    *(
        OSError,
        SyntaxError,
        ValueError,
        TypeError,
        LookupError,
        EOFError,
        ArithmeticError,
        AttributeError,
        RuntimeError,
    ),
    *(struct.error, zlib.error, UserWarning),
)

_ORIENTATION = 0x0112
"""EXIF: 1 upright, else how to turn what was stored (CIPA DC-008, 4.6.5)."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)

# Pillow would warn and then refuse by limits of its own, which lie on both sides of ours.
Image.MAX_IMAGE_PIXELS = None

# Who decodes many photos at once has no use for threads in one; nor for what lies beside the picture.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pi_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded photo, upright, sRGB.

    `pixels` is [height, width, 3], and smaller than the photo where that serves the models just as well; `width` and
    `height` are the photo's own. `camera` is what is written beside it.
    """

    pixels: Pixels
    width: int
    height: int
    media_type: str
    camera: Camera = field(default_factory=Camera)


def check_formats() -> None:
    """Load what every format needs. Raises ImportError when one cannot be read."""
    Image.init()
    missing = [name for name in _OPENED if name not in Image.OPEN]
    missing += [name for name in ("webp", "avif", "jpg", "zlib") if not features.check(name)]
    if missing:
        raise ImportError(f"Pillow cannot read {', '.join(missing)}: install it again")


def decode(data: bytes, *, short_side: int) -> Picture:
    """The photo, scaled down by a whole number as far as its shorter side stays at least `short_side` pixels.

    Raises Rejected: NOT_A_PHOTO, DAMAGED_PHOTO, OBJECT_TOO_LARGE for too many pixels.
    """
    try:
        return _decode(data, short_side)
    except _DAMAGE as error:
        raise _rejection(data, error) from error


def _decode(data: bytes, short_side: int) -> Picture:
    if data.startswith(_BOXES, 4) and _cut_short(data):
        raise OSError("truncated")
    image: Image.Image = Image.open(io.BytesIO(data), formats=_OPENED)
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise Rejected(
            Reason.OBJECT_TOO_LARGE, f"the photo has {width} by {height} pixels, at most {MOST_PIXELS:,} are decoded"
        )
    media_type = _FORMATS[image.format or ""]
    image.draft(None, (short_side, short_side))  # JPEG: the decoder scales, at a fraction of the cost
    image.load()
    orientation, camera = _orientation(image), _camera(image)
    if orientation in _ON_ITS_SIDE:
        width, height = height, width
    # Averaged before its colours are converted: what comes after costs memory and time by the pixel.
    image = _srgb(_reduced(_averageable(image), short_side))
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
    return Picture(np.asarray(image), width, height, media_type, camera)


def _cut_short(data: bytes) -> bool:
    """Whether a box of the picture ends behind the end of the file: libheif shows what there is, and the rest black.

    Boxes: ISO/IEC 14496-12, 4.2. What some cameras append is no box.
    """
    start = 0
    while start + 16 <= len(data):
        size, kind, long_size = struct.unpack_from(">I4sQ", data, start)
        size = long_size if size == 1 else size  # 0: all the rest of the file
        if kind not in _OF_THE_PICTURE or not size:
            break
        start += size
    return start > len(data)


def _orientation(image: Image.Image) -> int:
    """As EXIF has it; upright if that cannot be read (the pixels may be whole all the same).

    A HEIC photo is turned by its container (irot, imir), whatever EXIF says beside it: its decoder has done so.
    """
    if image.format == "HEIF":
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _DAMAGE:
        return 1


def _camera(image: Image.Image) -> Camera:
    try:
        return exif.read(image.getexif())
    except _DAMAGE:
        return Camera()


def _reduced(image: Image.Image, short_side: int) -> Image.Image:
    """Averaged over squares of pixels, as draft does it for JPEG."""
    factor = min(image.size) // short_side
    return image.reduce(factor) if factor > 1 else image


def _averageable(image: Image.Image) -> Image.Image:
    """The image with 8-bit channels that mean something by themselves: no palette, no colour that stands for transparent."""
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image)
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    if image.mode in ("1", "P"):
        return image.convert("L" if image.mode == "1" else "RGB")
    return image


def _srgb(image: Image.Image) -> Image.Image:
    """The image in RGB, colours as sRGB has them; what is transparent becomes white."""
    image = _without_profile(image)
    if image.mode == "RGB":
        return image
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey from more bits: 16 bits lose the lower eight; wider ones and floats are stretched over what they hold."""
    values = np.asarray(image)
    if values.dtype == np.uint16:
        return Image.fromarray((values >> 8).astype(np.uint8))
    values = np.nan_to_num(values.astype(np.float32), copy=False)
    low, high = float(values.min()), float(values.max())
    return Image.fromarray(((values - low) * (255 / max(high - low, 1e-9))).astype(np.uint8))


def _without_profile(image: Image.Image) -> Image.Image:
    """Colours by the embedded ICC profile turned into sRGB; as they are if it is sRGB, or does not fit the image."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK", "RGBA"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        colours = image.convert("RGB") if alpha else image
        converted = ImageCms.profileToProfile(colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, *_DAMAGE):
        return image
    if converted is None:  # only when told to work in place, which it was not
        return image
    if alpha:
        converted.putalpha(alpha)
    return converted


def _rejection(data: bytes, error: Exception) -> Rejected:
    """Why these bytes could not be decoded."""
    if not data.startswith(_MAGIC) and not data.startswith(_BOXES, 4):
        formats = ", ".join(name for name in _OPENED)
        return Rejected(Reason.NOT_A_PHOTO, f"the object's {len(data)} bytes are none of {formats}")
    if isinstance(error, UnidentifiedImageError) or "truncated" in str(error).lower():
        return Rejected(Reason.DAMAGED_PHOTO, f"the file ends after {len(data)} bytes, in the middle of the picture")
    return Rejected(Reason.DAMAGED_PHOTO, f"the file's {len(data)} bytes begin as a photo does, but cannot be decoded")
