"""EXIF: what cameras write, and that nonsense in one field costs that field only."""

import random
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from agents.photo.exif import read
from schemas.events import Camera

pytestmark = pytest.mark.unit

BASE, GPS = ExifTags.Base, ExifTags.GPS
MAIN = {BASE.Make: "Canon\0\0", BASE.Model: " EOS 5D "}
CAMERA = {
    BASE.DateTimeOriginal: "2024:05:17 08:30:59",
    BASE.OffsetTimeOriginal: "+05:30",
    BASE.SubsecTimeOriginal: "25",
    BASE.LensModel: "EF24-70mm f/2.8L",
    BASE.ExposureTime: IFDRational(1, 250),
    BASE.FNumber: IFDRational(28, 10),
    BASE.ISOSpeedRatings: 400,
    BASE.FocalLength: IFDRational(50, 1),
}
PLACE = {
    GPS.GPSLatitudeRef: "S",
    GPS.GPSLatitude: (IFDRational(33, 1), IFDRational(30, 1), IFDRational(36, 1)),
    GPS.GPSLongitudeRef: "E",
    GPS.GPSLongitude: (IFDRational(151, 1), IFDRational(15, 1), IFDRational(0, 1)),
    GPS.GPSAltitudeRef: b"\1",
    GPS.GPSAltitude: IFDRational(125, 10),
}
WHOLE = Camera(
    taken_at=datetime(2024, 5, 17, 3, 0, 59, 250_000, UTC),
    utc_offset_minutes=330,
    latitude=pytest.approx(-33.51),
    longitude=pytest.approx(151.25),
    altitude_metres=-12.5,
    make="Canon",
    model="EOS 5D",
    lens="EF24-70mm f/2.8L",
    exposure_seconds=pytest.approx(1 / 250),
    aperture=pytest.approx(2.8),
    iso=400,
    focal_length_millimetres=50.0,
)


def photo(main=MAIN, camera=CAMERA, place=PLACE):
    exif = Image.Exif()
    exif.update(main)
    exif.get_ifd(ExifTags.IFD.Exif).update(camera)
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(place)
    return exif


def through_a_file(exif):
    out = BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG", exif=exif)
    return Image.open(BytesIO(out.getvalue())).getexif()


def fields(exif):
    return {name: getattr(exif, name) for name in vars(exif)}


def test_all_that_a_camera_writes_is_read():
    assert fields(read(through_a_file(photo()))) == fields(WHOLE)


def test_a_photo_without_exif_says_nothing():
    assert read(Image.Exif()) == Camera()


BROKEN = [
    ("taken_at", "camera", BASE.DateTimeOriginal, ["0000:00:00 00:00:00", "    :  :     :  :  ", "2024:13:01 00:00:00", "1801:01:01 00:00:00", "soon", 7]),
    ("lens", "camera", BASE.LensModel, ["", "\0\0\0", "   "]),
    ("exposure_seconds", "camera", BASE.ExposureTime, [IFDRational(0, 1), IFDRational(1, 0), "fast", (), IFDRational(-1, 2)]),
    ("aperture", "camera", BASE.FNumber, [IFDRational(0, 0), float("inf"), None]),
    ("iso", "camera", BASE.ISOSpeedRatings, [0, -5, (), 1 << 40, "auto"]),
    ("focal_length_millimetres", "camera", BASE.FocalLength, [IFDRational(0, 1), float("nan")]),
    ("make", "main", BASE.Make, ["\0", " "]),
    ("altitude_metres", "place", GPS.GPSAltitude, [IFDRational(1, 0), "high", float("nan")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "where", "tag", "value"), [(n, w, t, v) for n, w, t, values in BROKEN for v in values]
)
def test_nonsense_costs_only_its_field(name, where, tag, value):
    exif = photo()
    directory = {
        "main": exif,
        "camera": exif.get_ifd(ExifTags.IFD.Exif),
        "place": exif.get_ifd(ExifTags.IFD.GPSInfo),
    }[where]
    directory[tag] = value
    gone = {"taken_at": ("taken_at", "utc_offset_minutes")}.get(name, (name,))  # of no time, no clock was ahead
    assert fields(read(exif)) == fields(WHOLE) | dict.fromkeys(gone)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (GPS.GPSLatitude, (91, 0, 0)),
        (GPS.GPSLatitude, (1, 2)),
        (GPS.GPSLongitude, (IFDRational(0, 0),) * 3),
        (GPS.GPSLongitude, (-1, 0, 0)),
        (GPS.GPSLatitudeRef, "X"),
        (GPS.GPSLongitudeRef, None),
    ],
)
def test_half_a_place_is_none(tag, value):
    seen = read(photo(place=PLACE | {tag: value}))
    assert (seen.latitude, seen.longitude, seen.altitude_metres) == (None, None, -12.5)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("Z", None),
        ("", None),
        ("+25:00", None),
        ("+01:75", None),
        ("-03:30", -210),
        ("+0200", 120),
    ],
)
def test_an_offset_that_is_none_costs_only_itself(offset, expected):
    seen = read(photo(camera=CAMERA | {BASE.OffsetTimeOriginal: offset}))
    assert seen.utc_offset_minutes == expected
    assert seen.taken_at + timedelta(minutes=expected or 0) == datetime(2024, 5, 17, 8, 30, 59, 250_000, UTC)


def test_where_the_shutter_s_time_is_missing_the_sensor_s_is_taken():
    camera = {BASE.DateTimeDigitized: "2024-05-17T08:30:59", BASE.OffsetTimeDigitized: "+00:00"}
    assert read(photo(camera=camera)).taken_at == datetime(2024, 5, 17, 8, 30, 59, tzinfo=UTC)


def test_text_is_text_and_not_too_long():
    seen = read(photo(main={BASE.Make: "\x1b[31mred\n", BASE.Model: "x" * 1000}))
    assert seen.make == "[31mred"
    assert seen.model == "x" * 256


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of the damage
def test_bytes_damaged_anywhere_raise_nothing():
    whole = photo().tobytes()
    rng = random.Random(7)
    for _ in range(2_000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(6, len(data))] = rng.randrange(256)
        exif = Image.Exif()
        try:
            exif.load(bytes(data[: rng.randint(20, len(data))]))
        except SyntaxError:  # not even a directory: decode takes it for upright and unknown
            continue
        assert isinstance(read(exif), Camera)
