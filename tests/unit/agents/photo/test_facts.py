"""Facts of a photo, and that a decoder can say nothing in their place that no photo is."""

import random
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image

from agents.photo.decode import decode
from agents.photo.facts import LONGEST, facts, pack, unpack
from agents.photo.pdq import distance
from agents.vision.model import Frame, frame_of
from schemas.events import Camera
from tests.support.backbone import SAMPLES
from tests.support.pictures import picture

pytestmark = pytest.mark.unit

FRAME = Frame(320, 240)
EVERYTHING = Camera(
    taken_at=datetime(1901, 2, 3, 4, 5, 6, 789_000, UTC),
    utc_offset_minutes=-210,
    latitude=-33.51,
    longitude=151.25,
    altitude_metres=-12.5,
    make="株式会社",
    model="x" * 256,
    lens="🔭" * 256,
    exposure_seconds=1 / 250,
    aperture=2.8,
    iso=(1 << 31) - 1,
    focal_length_millimetres=50.0,
)


def said(data, **fields):
    """What is said of a photo by that camera."""
    seen = decode(data, short_side=256)
    object.__setattr__(seen, "camera", Camera(**fields))
    return facts(seen)


@pytest.mark.parametrize("fields", [{}, vars(EVERYTHING), {"iso": 100}, {"lens": "50 mm", "latitude": 0.0}])
def test_what_is_packed_is_unpacked(fields):
    packed = pack(said(picture((640, 480)), **fields), FRAME)
    assert len(packed) <= LONGEST
    assert unpack(packed) == (said(picture((640, 480)), **fields), FRAME)


def test_a_camera_that_says_nothing_is_none():
    assert said(picture((640, 480))).camera is None


@pytest.mark.parametrize("name", ["altitude_metres", "aperture"])
def test_a_number_that_nothing_is_costs_only_itself(name):
    assert unpack(pack(said(picture((64, 48)), **{name: 1e300}, iso=100), Frame(64, 48)))[0].camera == Camera(iso=100)


def test_sizes_are_the_photo_s_and_the_frame_the_picture_s():
    turned = decode(picture((2400, 1600), orientation=6), short_side=256)
    assert (facts(turned).width, facts(turned).height) == (1600, 2400)
    assert frame_of(turned) == Frame(400, 600)  # libjpeg scales by halves


def test_what_a_camera_wrote_is_in_the_picture():
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Canon"
    out = BytesIO()
    Image.new("RGB", (64, 64)).save(out, "JPEG", exif=exif)
    assert facts(decode(out.getvalue(), short_side=256)).camera == Camera(make="Canon")


@pytest.mark.parametrize(
    "name", ["astronaut.jpg", "chelsea.png", "china.jpg", "coffee.jpg", "flower.jpg", "hubble.jpg", "rocket.jpg"]
)
def test_the_hash_does_not_depend_on_what_models_need(name):
    data = (SAMPLES / name).read_bytes()
    seen = [facts(decode(data, short_side=side)) for side in (256, 416, 10_000)]
    assert max(distance(one.pdq, seen[0].pdq) for one in seen) <= 8
    assert min(one.pdq_quality for one in seen) == 100


def test_damaged_facts_are_facts_or_refused():
    whole = pack(said(picture((640, 480)), **vars(EVERYTHING)), FRAME)
    rng = random.Random(7)
    for _ in range(5_000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            seen, _ = unpack(bytes(data[: rng.randint(0, len(data))]))
        except ValueError:
            continue
        assert seen.width * seen.height >= 1
        assert np.isfinite(seen.sharpness)
