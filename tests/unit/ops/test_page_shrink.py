from io import BytesIO

import pytest
from PIL import Image

from ops.page.shrink import HEIGHT, WIDTH, shrink
from schemas.errors import Rejected
from tests.support.pictures import BLUE, RED, picture

pytestmark = pytest.mark.unit


def opened(data):
    image = Image.open(BytesIO(data))
    assert image.format == "JPEG"
    return image.convert("RGB")


def near(colour, wanted):
    return all(abs(a - b) < 25 for a, b in zip(colour, wanted, strict=True))


@pytest.mark.parametrize(
    ("size", "small"),
    [((4000, 3000), (WIDTH, HEIGHT)), ((3000, 4000), (360, 480)), ((4000, 1000), (640, 160)), ((640, 480), (640, 480))],
)
def test_fits_and_keeps_its_shape(size, small):
    assert opened(shrink(picture(size))).size == small


def test_never_grows():
    assert opened(shrink(picture((37, 20)))).size == (37, 20)


def test_stands_upright():
    # Orientation 6: the camera was turned, so the left half of the pixels is the top of the picture.
    image = opened(shrink(picture((800, 400), orientation=6)))
    assert image.size == (240, 480)
    assert near(image.getpixel((120, 20)), RED)
    assert near(image.getpixel((120, 460)), BLUE)


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("CMYK", "JPEG"), ("RGB", "WEBP")]
)
def test_every_kind_of_picture_becomes_a_jpeg(mode, kind):
    assert opened(shrink(picture((900, 600), mode=mode, kind=kind))).size == (640, 427)


def test_metadata_stays_behind():
    photo = Image.new("RGB", (100, 100))
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    out = BytesIO()
    photo.save(out, "JPEG", exif=exif)
    assert b"taken at home" in out.getvalue()
    assert b"taken at home" not in shrink(out.getvalue())


@pytest.mark.parametrize("data", [b"", b"not a photo", picture((800, 600))[:2000]])
def test_what_is_no_photo_is_rejected(data):
    with pytest.raises(Rejected):
        shrink(data)
