"""Lines of text in a map of probabilities, as the served model text finds and reads them."""

import importlib.util

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ops.stack.model_repository import MODELS

pytestmark = pytest.mark.unit

SPEC = importlib.util.spec_from_file_location("lines", MODELS / "text" / "1" / "lines.py")
lines = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(lines)


def found(*boxes, probability=0.9, turned=0):
    """Of (left, top, right, bottom), in a map of 400 by 300 that is then turned by so many degrees."""
    image = Image.new("L", (400, 300))
    for left, top, right, bottom in boxes:
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=255)
    return lines.find_lines(np.asarray(image.rotate(turned)) / 255 * probability)


def test_a_line_is_the_rectangle_around_its_pixels_grown_on_all_sides():
    [line] = found((100, 50, 200, 70))
    more = 1.6 * 100 * 20 / 240
    assert line.score == pytest.approx(0.9)
    assert line.corners.ravel() == pytest.approx(
        [100 - more, 50 - more, 200 + more, 50 - more, 200 + more, 70 + more, 100 - more, 70 + more]
    )


def test_a_line_that_hangs_askew_is_a_rectangle_that_does():
    [line] = found((100, 140, 300, 160), turned=20)
    angle = np.degrees(np.arctan2(line.along[1], line.along[0]))
    assert angle == pytest.approx(-20, abs=1)
    assert np.linalg.norm(line.along) == pytest.approx(200 + 2 * 1.6 * 200 * 20 / 440, abs=4)
    assert np.linalg.norm(line.across) == pytest.approx(20 + 2 * 1.6 * 200 * 20 / 440, abs=4)
    assert line.along @ line.across == pytest.approx(0, abs=1e-6)


def test_what_is_much_higher_than_wide_is_written_downwards():
    [line] = found((100, 50, 120, 200))
    assert line.along[1] > 0
    assert line.across[0] < 0
    assert line.origin[0] > 120
    assert line.origin[1] < 50


def test_pixels_that_touch_at_a_corner_are_one_line_and_others_are_not():
    assert len(found((0, 0, 10, 10), (10, 10, 20, 20))) == 1
    assert len(found((0, 0, 10, 10), (11, 11, 20, 20))) == 2
    fork = (0, 0, 50, 5), (0, 10, 50, 15), (45, 0, 50, 15)  # two runs that meet further right, and further down
    assert len(found(*fork)) == 1
    assert len(found((0, 0, 5, 15), (20, 0, 25, 15), (0, 12, 25, 15))) == 1


@pytest.mark.parametrize(
    ("box", "probability"), [((0, 0, 50, 2), 0.9), ((0, 0, 2, 50), 0.9), ((0, 0, 50, 50), 0.4), ((0, 0, 50, 50), 0.2)]
)
def test_what_is_too_small_or_not_sure_enough_is_no_line(box, probability):
    assert found(box, probability=probability) == []


def test_an_empty_map_has_no_lines():
    assert found() == []
    assert lines.find_lines(np.zeros((0, 0))) == []


def test_lines_come_surest_first():
    chances = np.zeros((100, 100))
    chances[10:20, 10:90], chances[50:60, 10:90] = 0.6, 0.8
    assert [line.score for line in lines.find_lines(chances)] == pytest.approx([0.8, 0.6])


def test_a_line_is_shown_upright_blue_first_padded_with_grey():
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[50:98, 100:148] = 255, 0, 0
    picture[50:98, 148:196] = 0, 0, 255
    line = lines.Line(1.0, np.array([100.0, 50.0]), np.array([96.0, 0.0]), np.array([0.0, 48.0]))
    shown = lines.cut_out(picture, line)
    assert (shown.shape, shown.dtype) == ((1, 3, 48, 320), np.float32)
    assert shown[0, :, 24, 10].tolist() == [-1, -1, 1]
    assert shown[0, :, 24, 80].tolist() == [1, -1, -1]
    assert shown[0, :, :, 96:].max() == shown[0, :, :, 96:].min() == 0
    other_end = lines.cut_out(picture, line.turned())
    assert other_end[0, :, :, :96] == pytest.approx(shown[0, :, ::-1, 95::-1])


def test_a_line_of_any_length_and_height_fits():
    picture = np.full((960, 960, 3), 200, np.uint8)
    for length, depth in ((900, 3), (3, 900), (2000, 1500), (0.5, 0.5)):
        line = lines.Line(1.0, np.array([-50.0, -50.0]), np.array([length, 0.0]), np.array([0.0, depth]))
        shown = lines.cut_out(picture, line)
        assert 320 <= shown.shape[3] <= 1280
        assert shown[0, 0, 24, 0] == pytest.approx(200 / 127.5 - 1)


def test_a_character_that_stays_is_one_and_behind_none_it_is_another():
    kinds = [0, 3, 3, 0, 3, 7, 7, 0]
    steps = np.zeros((len(kinds), 9))
    steps[np.arange(len(kinds)), kinds] = [1, 0.9, 0.5, 1, 0.8, 0.7, 0.1, 1]
    characters, score = lines.read_line(steps)
    assert characters.tolist() == [3, 3, 7]
    assert score == pytest.approx((0.9 + 0.8 + 0.7) / 3)
    assert lines.read_line(np.eye(9)[[0, 0]])[1] == 0
