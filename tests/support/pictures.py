"""Pictures of two colours, in any size and format."""

from io import BytesIO

from PIL import Image

RED, BLUE = (200, 30, 30), (30, 30, 200)


def picture(size, *, mode="RGB", kind="JPEG", orientation=1):
    """The left half red, the right half blue."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = BytesIO()
    image.convert(mode).save(out, kind, exif=exif)
    return out.getvalue()
