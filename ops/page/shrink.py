"""A photo made small enough for a wall of them."""

from io import BytesIO

from PIL import Image

from agents.photo.decode import decode

WIDTH, HEIGHT = 640, 480
"""A print on the wall is about 320 by 240 points; twice that for sharp screens."""


def shrink(photo: bytes) -> bytes:
    """A JPEG of at most WIDTH by HEIGHT, upright, without metadata; never larger than the photo. Raises Rejected as decode does."""
    image = Image.fromarray(decode(photo, short_side=HEIGHT).pixels)
    image.thumbnail((WIDTH, HEIGHT), reducing_gap=2.0)
    small = BytesIO()
    image.save(small, "JPEG", quality=82, optimize=True)
    return small.getvalue()
