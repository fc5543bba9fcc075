"""scene_label: what is shown to the model, and what is made of its answer."""

import numpy as np
import pytest

from agents.photo.decode import Picture
from agents.vision.model import Frame
from agents.vision.scene_label import SCENE_LABEL
from tests.support.reference_sight import MODELS

pytestmark = pytest.mark.unit

FRAME = Frame(640, 480)


def picture(pixels):
    pixels = np.asarray(pixels, np.uint8)
    return Picture(pixels, pixels.shape[1], pixels.shape[0], "image/png")


def plain(height, width, colour):
    return picture(np.full((height, width, 3), colour))


@pytest.mark.parametrize(("height", "width"), [(256, 256), (300, 451), (2000, 300), (10, 10), (1, 1), (1, 500)])
def test_any_picture_becomes_one_image_of_the_model_s_size(height, width):
    tensor = SCENE_LABEL.prepare(plain(height, width, (255, 127, 0)))["image"]
    assert tensor.shape == (1, 3, 224, 224)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous


def test_channels_come_red_first_centred_on_127():
    tensor = SCENE_LABEL.prepare(plain(256, 256, (255, 127, 0)))["image"]
    assert tensor[0, :, 0, 0].tolist() == [1.0, 0.0, -127 / 128]


def test_it_is_the_middle_224_of_256_that_is_shown():
    rows = np.arange(256)[:, None, None] * np.ones((1, 512, 3))
    columns = np.arange(512)[None, :, None] / 2 * np.ones((256, 1, 3))
    down = SCENE_LABEL.prepare(picture(rows))["image"][0, 0] * 128 + 127
    across = SCENE_LABEL.prepare(picture(columns))["image"][0, 0] * 128 + 127
    assert (down[0, 0], down[-1, 0]) == (16, 239)
    assert (across[0, 0], across[0, -1]) == pytest.approx((144 / 2, (144 + 223) / 2), abs=1)


def answer(**probabilities):
    names = (MODELS / "scene_label" / "labels.txt").read_text().splitlines()
    probs = np.full((1, 1000), 1e-6, np.float32)
    for name, probability in probabilities.items():
        probs[0, names.index(name)] = probability
    embedding = np.zeros((1, 1280), np.float32)
    embedding[0, :2] = 3, 4
    return {"probs": probs, "embedding": embedding}


def test_the_five_most_probable_labels_are_read_most_probable_first():
    result = SCENE_LABEL.read(answer(espresso=0.5, cup=0.2, daisy=0.1, bee=0.05, ant=0.04, tench=0.01), FRAME)
    assert [label.name for label in result.labels] == ["espresso", "cup", "daisy", "bee", "ant"]
    assert [label.score for label in result.labels] == pytest.approx([0.5, 0.2, 0.1, 0.05, 0.04])
    assert (result.model, result.version) == ("scene_label", "1")


def test_the_embedding_has_length_1():
    embedding = np.frombuffer(SCENE_LABEL.read(answer(), FRAME).embedding, "<f4")
    assert list(embedding[:3]) == pytest.approx([0.6, 0.8, 0])
    assert len(embedding) == 1280


def test_names_are_those_that_the_served_model_comes_with():
    """Agents have a copy of their own: they do not know of the repository that Triton serves."""
    served = (MODELS / "scene_label" / "labels.txt").read_text().splitlines()
    read = [
        SCENE_LABEL.read({"probs": np.eye(1000, dtype=np.float32)[n : n + 1], "embedding": np.ones((1, 1280))}, FRAME)
        for n in range(1000)
    ]
    assert [result.labels[0].name for result in read] == served
