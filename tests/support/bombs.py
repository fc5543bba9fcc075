"""Small files that are whole photos and cost much to decode."""

from io import BytesIO

from PIL import Image

SIDE = 8_000


def flat(kind):
    """64 megapixels of one colour, in some kilobytes."""
    options = {
        "PNG": {"compress_level": 1},
        "WEBP": {"lossless": True, "quality": 0, "method": 0},
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
    out = BytesIO()
    Image.new("RGB", (SIDE, SIDE), (9, 99, 199)).save(out, kind, **options[kind])
    return out.getvalue()


def scans(count):
    """A progressive JPEG of 16 megapixels whose last scan comes so many times: each is decoded."""
    out = BytesIO()
    Image.new("RGB", (4_000, 4_000), (9, 99, 199)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    end = data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * count + data[end:]
