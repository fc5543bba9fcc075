"""Bytes to pixels: every format, damage, turn and colour."""

import io
import random
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from agents.photo.decode import MOST_PIXELS, decode
from schemas.errors import Reason, Rejected
from tests.support.reference_picture import from_adobe_rgb

pytestmark = pytest.mark.unit

SAMPLES = Path(__file__).parents[4] / "ops" / "samples"
HEIC = Path(__file__).parents[3] / "support" / "heic"
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"]


@pytest.fixture(scope="module")
def photo():
    """600 by 400, upright."""
    with Image.open(SAMPLES / "coffee.jpg") as image:
        return image.transpose(Image.Transpose.ROTATE_270).convert("RGB")


def saved(image, kind="PNG", **options):
    out = io.BytesIO()
    fast = {"speed": 10} if kind == "AVIF" else {}
    image.save(out, kind, **(fast | options))
    return out.getvalue()


def png(header, body):
    """A PNG made by hand."""

    def part(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", body) + part(b"IEND", b"")


def pixels(data, short_side=4000):
    return decode(data, short_side=short_side).pixels.astype(int)


def refused(data, short_side=256):
    with pytest.raises(Rejected) as caught:
        decode(data, short_side=short_side)
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_found_from_the_bytes(photo, kind):
    picture = decode(saved(photo, kind), short_side=4000)
    assert (picture.width, picture.height) == (600, 400)
    assert picture.media_type == f"image/{kind.lower()}"
    assert picture.pixels.shape == (400, 600, 3)
    assert picture.pixels.dtype == np.uint8
    loss = 12 if kind == "GIF" else 4  # 256 colours
    assert np.abs(picture.pixels.astype(int) - np.asarray(photo).astype(int)).mean() < loss


def test_a_phone_s_jpeg_with_a_second_picture_is_a_jpeg(photo):
    data = saved(photo, "MPO", save_all=True, append_images=[photo.resize((60, 40))])
    picture = decode(data, short_side=100)
    assert (picture.media_type, picture.width, picture.height) == ("image/jpeg", 600, 400)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("short_side", "shape"),
    [(4000, (400, 600)), (201, (400, 600)), (200, (200, 300)), (100, (100, 150)), (99, (100, 150))],
)
def test_it_is_no_larger_than_needed_and_says_its_true_size(photo, kind, short_side, shape):
    picture = decode(saved(photo, kind), short_side=short_side)
    assert picture.pixels.shape[:2] == shape
    assert (picture.width, picture.height) == (600, 400)


def test_decoded_small_it_is_the_same_picture(photo):
    for kind in ("JPEG", "PNG"):
        small = pixels(saved(photo, kind), short_side=100)
        assert np.abs(small - np.asarray(photo.resize((150, 100), Image.Resampling.BOX)).astype(int)).mean() < 3


def test_a_large_jpeg_costs_little_where_little_is_needed(photo):
    data = saved(photo.resize((3000, 2000)), "JPEG")

    def cost(short_side):
        began = time.thread_time()
        decode(data, short_side=short_side)
        return time.thread_time() - began

    assert min(cost(250) for _ in range(5)) < min(cost(2000) for _ in range(5)) / 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("short_side", [4000, 100])
def test_it_is_upright_as_exif_says(photo, kind, orientation, short_side):
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that undoes each
    stored = photo.transpose(Image.Transpose(back[orientation])) if orientation > 1 else photo
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(saved(stored, kind, exif=exif), short_side=short_side)
    assert (picture.width, picture.height) == (600, 400)
    scale = 4 if short_side == 100 else 1
    assert picture.pixels.shape == (400 // scale, 600 // scale, 3)
    expected = np.asarray(photo.reduce(scale)).astype(int)
    assert np.abs(picture.pixels.astype(int) - expected).mean() < 6


def heic(name):
    return (HEIC / f"{name}.heic").read_bytes()


def off(data, image):
    """How far the photo's pixels are from an image's, on average."""
    return np.abs(pixels(data) - np.asarray(image).astype(int)).mean()


@pytest.fixture(scope="module")
def small(photo):
    """What the HEIC files show."""
    return photo.resize((120, 80), Image.Resampling.LANCZOS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_that_its_container_turned_is_not_turned_again(small, orientation):
    data = heic(f"orientation-{orientation}")
    picture = decode(data, short_side=4000)
    assert (picture.media_type, picture.width, picture.height) == ("image/heic", 120, 80)
    assert picture.pixels.shape == (80, 120, 3)
    assert off(data, small) < 6
    assert decode(data, short_side=40).pixels.shape == (40, 60, 3)


def test_exif_does_not_turn_a_heic(small):
    assert off(heic("turned-in-exif-only"), small) < 6


def test_a_heic_of_tiles_is_one_picture(photo):
    assert off(heic("grid"), photo.resize((300, 200))) < 6


def test_a_heic_of_more_bits_is_read(small):
    assert off(heic("10-bit"), small) < 6


def test_a_heic_that_names_no_codec_in_its_brand_is_read(small):
    assert off(heic("orientation-6").replace(b"ftypheic", b"ftypmif1", 1), small) < 6


def test_a_heic_s_transparent_half_is_white(small):
    got = pixels(heic("half-transparent"))
    assert got[:, 70:].min() > 250
    assert np.abs(got[:, :50] - np.asarray(small).astype(int)[:, :50]).mean() < 8


def test_a_heic_s_colours_become_srgb(small):
    expected = from_adobe_rgb(np.asarray(small).astype(float))
    assert np.abs(pixels(heic("adobe-rgb")) - expected).mean() < 6


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_a_heic_cut_short_is_damaged(share):
    data = heic("grid")
    data = data[: int(len(data) * share)]
    assert refused(data) == (
        Reason.DAMAGED_PHOTO,
        f"the file ends after {len(data)} bytes, in the middle of the picture",
    )


def test_what_a_camera_appends_to_a_heic_does_not_matter(photo):
    assert off(heic("grid") + b"\xff" * 40, photo.resize((300, 200))) < 6


def test_a_heic_without_a_picture_is_damaged():
    assert refused(b"\0\0\0\x18ftypheic" + b"\0" * 100)[0] is Reason.DAMAGED_PHOTO


def test_a_heic_damaged_anywhere_is_either_survived_or_rejected():
    rng = random.Random(7)
    for _ in range(300):
        data = bytearray(heic("grid"))
        for _ in range(rng.randint(1, 8)):
            data[int(len(data) * rng.random() ** 2)] = rng.randrange(256)
        try:
            picture = decode(bytes(data), short_side=20)
        except Rejected:
            continue
        assert picture.pixels.ndim == 3


def test_of_pictures_that_move_the_first_is_seen(photo):
    for kind in ("GIF", "WEBP", "PNG", "AVIF", "TIFF"):
        data = saved(photo, kind, save_all=True, append_images=[Image.new("RGB", photo.size, "red")] * 2)
        assert off(data, photo) < 12, kind


def test_a_progressive_jpeg_is_read(photo):
    data = saved(photo, "JPEG", progressive=True)
    assert b"\xff\xc2" in data
    assert off(data, photo) < 4


def test_inks_with_a_profile_of_their_own_that_does_not_fit_are_read(photo):
    data = saved(photo.convert("CMYK"), "JPEG", icc_profile=profile("sRGB"))
    assert off(data, photo) < 6


def interlaced(image):
    """A PNG in the seven passes of Adam7, which Pillow can only read."""
    values = np.asarray(image)
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(
        b"\0" + row.tobytes() for top, left, down, right in passes for row in values[top::down, left::right]
    )
    header = struct.pack(">IIBBBBB", *image.size, 8, 2, 0, 0, 1)
    return png(header, zlib.compress(rows))


def test_an_interlaced_png_is_read(photo):
    assert off(interlaced(photo), photo) == 0


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_means_nothing_is_ignored(photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert decode(saved(photo, "JPEG", exif=exif), short_side=400).pixels.shape == (400, 600, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_broken_exif_does_not_cost_the_photo(photo):
    data = saved(photo, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    assert decode(data, short_side=400).pixels.shape == (400, 600, 3)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LA", "RGBA", "PA"])
def test_every_pixel_format_becomes_rgb(photo, mode):
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "TIFF" if mode == "PA" else "PNG"
    image = photo.convert("P").convert("PA") if mode == "PA" else photo.convert(mode)
    grey = mode in ("L", "1", "LA")
    expected = np.asarray(photo.convert("L").convert("RGB") if grey else photo).astype(int)
    got = pixels(saved(image, kind))
    assert got.shape == (400, 600, 3)
    assert abs(got.mean() - expected.mean()) < 3
    assert np.abs(got - expected).mean() < (100 if mode == "1" else 20 if mode in ("P", "PA") else 6)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_keep_their_upper_eight(kind):
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    got = pixels(saved(Image.fromarray(ramp), kind))
    assert (got == (ramp >> 8)[:, :, None]).all()


def test_16_bits_a_channel_are_read(photo):
    """A PNG of 16-bit RGB, which Pillow can only read, made by hand."""
    values = np.asarray(photo).astype(np.uint16) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    data = png(struct.pack(">IIBBBBB", 600, 400, 16, 2, 0, 0, 0), zlib.compress(rows))
    assert (pixels(data) == np.asarray(photo)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_wide_values_are_stretched(dtype):
    ramp = np.linspace(-1000, 3000, 100 * 100).astype(dtype).reshape(100, 100)
    got = pixels(saved(Image.fromarray(ramp), "TIFF"))
    assert (got.min(), got.max()) == (0, 255)
    assert (np.diff(got[:, 0, 0]) >= 0).all()


def test_what_is_transparent_is_white():
    clear = Image.new("RGBA", (300, 300), (255, 0, 0, 0))
    half = Image.new("RGBA", (300, 300), (255, 0, 0, 128))
    assert (pixels(saved(clear)) == 255).all()
    assert np.abs(pixels(saved(half))[0, 0] - (255, 127, 127)).max() <= 1
    palette = Image.new("P", (300, 300), 7)
    palette.putpalette([0, 0, 255] * 256)
    assert (pixels(saved(palette, "PNG", transparency=7)) == 255).all()


def profile(kind):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()


def test_colours_of_another_profile_become_srgb():
    """rocket.jpg is Adobe RGB; the reference has the formulas of the two standards."""
    with Image.open(SAMPLES / "rocket.jpg") as image:
        assert b"Adobe RGB" in image.info["icc_profile"]
        stored = np.asarray(image.convert("RGB")).astype(float)
    got = pixels((SAMPLES / "rocket.jpg").read_bytes())
    expected = from_adobe_rgb(stored)
    assert np.abs(got - expected).mean() < 1
    assert np.abs(got - stored).mean() > 3


@pytest.mark.parametrize("broken", [b"no profile", profile("LAB"), profile("sRGB")])
def test_a_profile_that_fits_not_or_changes_nothing_leaves_the_colours(photo, broken):
    assert (pixels(saved(photo, "PNG", icc_profile=broken)) == np.asarray(photo)).all()


def test_text_named_jpg_is_no_photo():
    reason, detail = refused((SAMPLES / "not-a-photo.jpg").read_bytes())
    assert reason is Reason.NOT_A_PHOTO
    assert detail == "the object's 93 bytes are none of JPEG, PNG, WEBP, GIF, TIFF, BMP, AVIF, HEIF"


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"\0" * 1000, b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_other_bytes_are_no_photo(data):
    assert refused(data)[0] is Reason.NOT_A_PHOTO


def test_formats_that_pillow_reads_and_nobody_photographs_in_are_not_opened(photo):
    for kind in ("PPM", "TGA", "ICO", "PCX"):
        assert refused(saved(photo.resize((64, 64)), kind))[0] is Reason.NOT_A_PHOTO


def test_a_jpeg_cut_short_says_where_it_ends():
    data = (SAMPLES / "cut-short.jpg").read_bytes()
    assert refused(data) == (
        Reason.DAMAGED_PHOTO,
        f"the file ends after {len(data)} bytes, in the middle of the picture",
    )


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_every_format_cut_short_is_damaged(photo, kind, share):
    data = saved(photo, kind)
    assert refused(data[: int(len(data) * share)])[0] is Reason.DAMAGED_PHOTO


@pytest.mark.parametrize("length", [2, 5, 20, 200])
def test_hardly_begun_it_is_damaged(length):
    assert refused((SAMPLES / "flower.jpg").read_bytes()[:length])[0] is Reason.DAMAGED_PHOTO


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of the damage
@pytest.mark.parametrize("kind", FORMATS)
def test_damage_anywhere_is_either_survived_or_rejected(photo, kind):
    """Nothing but Rejected ever comes out."""
    small = photo.resize((60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = saved(small, kind, **({"exif": exif, "icc_profile": profile("sRGB")} if kind not in ("GIF", "BMP") else {}))
    rng = random.Random(7)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            # Headers matter most, and they are at the front.
            data[int(len(data) * rng.random() ** 3)] = rng.randrange(256)
        try:
            picture = decode(bytes(data), short_side=20)
        except Rejected:
            continue
        assert picture.pixels.ndim == 3


def bomb(width, height):
    """A small PNG that says that it is huge."""
    return png(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), zlib.compress(b"\0" * 1000))


@pytest.mark.parametrize("size", [(12_000, 10_001), (30_000, 30_000), (1, MOST_PIXELS + 1)])
def test_a_decompression_bomb_is_too_large_and_not_decoded(size):
    reason, detail = refused(bomb(*size))
    assert reason is Reason.OBJECT_TOO_LARGE
    assert f"{size[0]} by {size[1]} pixels" in detail


def test_a_photo_of_a_large_camera_is_decoded():
    """102 megapixels, above Pillow's own limit."""
    picture = decode(saved(Image.new("L", (11_648, 8_736), 128), "JPEG"), short_side=256)
    assert (picture.width, picture.height) == (11_648, 8_736)
    assert min(picture.pixels.shape[:2]) < 1200


def test_a_panorama_is_decoded():
    """100 megapixels, of which a fiftieth is the shorter side."""
    picture = decode(saved(Image.new("RGB", (50_000, 2_000), (9, 99, 199)), "JPEG"), short_side=256)
    assert (picture.width, picture.height) == (50_000, 2_000)
    assert 256 <= min(picture.pixels.shape[:2]) < 512
    assert np.abs(picture.pixels.astype(int) - (9, 99, 199)).max() < 3


def test_a_colour_that_stands_for_transparent_is_not_averaged_with_its_neighbours():
    image = Image.new("RGB", (400, 400), (0, 0, 0))
    image.paste((0, 0, 255), (0, 0, 200, 400))
    got = pixels(saved(image, "PNG", transparency=(0, 0, 0)), short_side=100)
    assert got[0, 0].tolist() == [0, 0, 255]
    assert got[0, -1].tolist() == [255, 255, 255]


def test_one_pixel_is_a_photo_too():
    picture = decode(saved(Image.new("RGB", (1, 1), (1, 2, 3))), short_side=256)
    assert picture.pixels.tolist() == [[[1, 2, 3]]]


def test_pixels_can_be_used_and_do_not_hold_the_file(photo):
    assert decode(saved(photo), short_side=100).pixels.flags.c_contiguous
