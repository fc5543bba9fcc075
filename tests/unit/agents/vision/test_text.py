"""text: what is shown to the model, and what is made of its answer."""

import numpy as np
import onnxruntime
import pytest

from agents.photo.decode import Picture
from agents.vision.model import Frame
from agents.vision.text import _CHARACTERS, TEXT
from tests.support.reference_sight import MODELS

pytestmark = pytest.mark.unit

FRAME = Frame(1920, 960)
CORNERS = [96, 48, 480, 48, 480, 96, 96, 96]


def read(*texts):
    """Of (text, score), each at the same place."""
    outputs = {name: np.zeros(shape, np.float32) for name, shape in TEXT.outputs.items()}
    for index, (text, score) in enumerate(texts):
        outputs["corners"][0, index] = CORNERS
        outputs["scores"][0, index] = score
        outputs["characters"][0, index, : len(text)] = [_CHARACTERS.index(letter) for letter in text]
    return TEXT.read(outputs, FRAME)


def test_a_picture_comes_with_its_size_in_the_square():
    inputs = TEXT.prepare(Picture(np.full((300, 450, 3), 7, np.uint8), 450, 300, "image/png"))
    assert (inputs["image"].shape, inputs["image"].dtype) == ((1, 960, 960, 3), np.uint8)
    assert (inputs["size"].tolist(), inputs["size"].dtype) == ([[960, 640]], np.float32)


def test_a_line_has_its_text_its_corners_and_the_box_around_them():
    [region] = read((" Grüße 2026 ", 0.9)).regions
    assert (region.name, region.text, region.score) == ("text", "Grüße 2026", pytest.approx(0.9))
    assert list(region.points) == pytest.approx([0.1, 0.1, 0.5, 0.1, 0.5, 0.2, 0.1, 0.2])
    assert (region.left, region.top, region.width, region.height) == pytest.approx((0.1, 0.1, 0.4, 0.1))


def test_what_is_not_sure_or_empty_is_not_told():
    assert [region.text for region in read(("yes", 0.8), (" ", 0.7), ("no", 0.49)).regions] == ["yes"]


def test_the_longest_text_of_the_most_lines_is_far_below_a_megabyte():
    result = read(*[("🛁" * 160, 0.9)] * 32)
    assert len(result.regions) == 32
    assert sum(len(region.text.encode()) for region in result.regions) < 30_000


def test_characters_are_those_of_the_served_model():
    """Agents have a copy of their own: they do not know of the repository that Triton serves."""
    served = onnxruntime.InferenceSession(MODELS / "text" / "1" / "recognise.onnx", providers=["CPUExecutionProvider"])
    characters = served.get_modelmeta().custom_metadata_map["character"].split("\n")
    assert ["", *characters, " "] == _CHARACTERS
    assert served.get_outputs()[0].shape[2] == len(_CHARACTERS)
