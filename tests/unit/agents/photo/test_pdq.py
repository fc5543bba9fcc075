"""PDQ: the reference's hashes, near for what looks alike and far for what does not."""

import json
from io import BytesIO
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agents.photo.decode import Picture, decode
from agents.photo.pdq import distance, pdq
from tests.support.pdq_cases import SAMPLES, cases

pytestmark = pytest.mark.unit

GOLDEN = json.loads(Path(__file__).with_name("golden_pdq.json").read_text())
NEAR = 31


def of(pixels):
    pixels = np.asarray(pixels, np.uint8)
    return pdq(Picture(pixels, pixels.shape[1], pixels.shape[0], "image/png"))


def test_hashes_and_qualities_are_those_of_the_reference():
    seen = set()
    for photo, edit, picture in cases():
        bits, quality = GOLDEN[f"{photo} {edit}"]
        hashed = pdq(picture)
        # What decodes JPEG may round differently from one version to the next.
        assert distance(hashed.bits, bytes.fromhex(bits)) <= 2, (photo, edit)
        assert abs(hashed.quality - quality) <= 1, (photo, edit)
        seen.add(hashed.good)
    assert seen == {True, False}


def test_what_was_saved_again_is_near_and_other_photos_are_not():
    photos = {
        path.name: decode(path.read_bytes(), short_side=256)
        for path in SAMPLES.glob("c*.[jp][pn]g")
        if "cut" not in path.name
    }
    hashes = {name: pdq(picture) for name, picture in photos.items() if name != "china-copy.jpg"}
    assert all(hashed.good for hashed in hashes.values())
    for one, other in combinations(hashes.values(), 2):
        assert distance(one.bits, other.bits) > 2 * NEAR
    for name, hashed in hashes.items():
        out = BytesIO()
        Image.fromarray(photos[name].pixels).save(out, "JPEG", quality=30)
        again = pdq(decode(out.getvalue(), short_side=100))
        assert distance(hashed.bits, again.bits) <= NEAR


@pytest.mark.parametrize("pixels", [np.full((200, 300, 3), 90), np.zeros((4, 500, 3)), np.zeros((1, 1, 3))])
def test_where_nothing_is_to_be_seen_the_hash_is_not_good(pixels):
    hashed = of(pixels)
    assert len(hashed.bits) == 32
    assert (hashed.quality, hashed.good) == (0, False)


def test_distance_counts_bits():
    assert distance(b"\x00" * 32, b"\xff" * 32) == 256
    assert distance(b"\x01" + b"\0" * 31, b"\x03" + b"\0" * 31) == 1
