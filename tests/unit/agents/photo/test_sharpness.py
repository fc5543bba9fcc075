"""Sharpness: blur lowers it, brightness does not move it, and its numbers are the definition's."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from agents.photo.decode import Picture, decode
from agents.photo.sharpness import sharpness

pytestmark = pytest.mark.unit

SAMPLES = Path(__file__).parents[4] / "ops" / "samples"


def of(pixels):
    pixels = np.asarray(pixels, np.uint8)
    return sharpness(Picture(pixels, pixels.shape[1], pixels.shape[0], "image/png"))


@pytest.mark.parametrize("name", ["coffee.jpg", "china.jpg", "flower.jpg", "chelsea.png"])
def test_the_more_a_photo_is_blurred_the_less_sharp_it_is(name):
    photo = Image.fromarray(decode((SAMPLES / name).read_bytes(), short_side=256).pixels)
    sharp = [of(photo.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 0.5, 1, 2, 4, 8)]
    assert sharp == sorted(sharp, reverse=True)
    assert sharp[0] > 5 * sharp[3] > 0


def test_one_colour_has_none():
    assert of(np.full((50, 60, 3), 77)) == pytest.approx(0, abs=1e-3)


def test_a_gradient_has_none():
    assert of(np.tile(np.arange(200)[None, :, None], (50, 1, 3))) == pytest.approx(0, abs=1e-3)


def test_the_number_is_that_of_the_definition():
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 256, (9, 11, 3))
    grey = pixels @ [0.299, 0.587, 0.114]
    values = [
        grey[y - 1, x] + grey[y + 1, x] + grey[y, x - 1] + grey[y, x + 1] - 4 * grey[y, x]
        for y in range(1, 8)
        for x in range(1, 10)
    ]
    assert of(pixels) == pytest.approx(np.var(values), rel=1e-5)


def test_brightness_does_not_matter():
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 200, (40, 40, 3))
    assert of(pixels + 50) == pytest.approx(of(pixels), rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 500, 3), (500, 2, 3)])
def test_a_picture_too_small_to_tell_has_none(shape):
    assert of(np.zeros(shape)) == 0.0
