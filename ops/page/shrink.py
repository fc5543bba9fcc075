"""A photo made small enough for a wall of them."""

from io import BytesIO

from PIL import Image, ImageOps, UnidentifiedImageError

WIDTH, HEIGHT = 640, 480
"""A print on the wall is at most 320 by 240 points; twice that for sharp screens."""

_MOST_PIXELS = 50_000_000
"""What may be decoded at once: 150 MB as RGB. Pillow's draft mode lets a JPEG of 64 times as many through."""


class Unshowable(Exception):  # noqa: N818 (named by what was found)
    """The bytes are no picture that can be shown small."""


def shrink(photo: bytes) -> bytes:
    """A JPEG of at most WIDTH by HEIGHT, upright, without metadata; never larger than the photo. Raises Unshowable."""
    try:
        with Image.open(BytesIO(photo)) as opened:
            opened.draft("RGB", (WIDTH, HEIGHT))
            if opened.width * opened.height > _MOST_PIXELS:
                raise Unshowable(f"{opened.width} by {opened.height} pixels are too many to shrink here")
            image = ImageOps.exif_transpose(opened)
            image.thumbnail((WIDTH, HEIGHT), reducing_gap=2.0)
            small = BytesIO()
            _flat(image).save(small, "JPEG", quality=82, optimize=True)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise Unshowable(f"Pillow cannot read it ({type(error).__name__})") from error
    return small.getvalue()


def _flat(image: Image.Image) -> Image.Image:
    """RGB; what is transparent becomes the white of paper."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return image.convert("RGB")
