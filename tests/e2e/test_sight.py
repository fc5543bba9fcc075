"""What was seen, read back from ClickHouse, against references that share no code with the agents.

By the documented decode numbers are the same, and against every pixel of the photo they are near.
"""

import numpy as np
import pytest

from agents.vision.models import MODELS
from tests.support import album
from tests.support.reference_picture import documented, whole
from tests.support.reference_sight import LEAST_SCORES, SIGHTS, Found, Sight, difference, rough_difference

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SAME = 1e-3
NEAR = 0.1

SHORT_SIDE = 312
"""Pixels that the models of the default need: object_detect wants most."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """By their names."""
    return {path.name: path for path in album.make(tmp_path_factory.mktemp("album"))}


@pytest.fixture(scope="module")
def seen(stack, photos):
    """What each model has said of each photo, by the photo's name and the model's."""
    events = stack.upload(list(photos.values()))
    stack.wait_for_outcomes(events, within=180)
    rows = stack.query(
        "SELECT photo_id, arrayZip(labels.model, labels.name, labels.score), "
        "arrayZip(regions.model, regions.name, regions.score, regions.left, regions.top, regions.width, regions.height, "
        "regions.points, regions.text), embedding "
        "FROM photos JOIN photo_embeddings USING (owner_id, photo_id, revision) WHERE owner_id = {owner:String}",
        owner=events[0].owner_id,
    )
    names = {event.photo_id: name for name, event in zip(photos, events, strict=True)}
    return {names[photo_id]: sights(*row) for photo_id, *row in rows}


def sights(labels, regions, embedding):
    return {
        model: Sight(
            [(name, score) for of, name, score in labels if of == model],
            [
                Found(name, score, box, tuple(points), text)
                for of, name, score, *box, points, text in regions
                if of == model
            ],
            np.array(embedding) if model == "scene_label" else None,
        )
        for model in SIGHTS
    }


def test_every_photo_was_looked_at(seen, photos):
    assert set(seen) == set(photos)


@pytest.mark.parametrize("model", SIGHTS)
def test_numbers_are_the_reference_s(seen, photos, model):
    gaps = {
        name: difference(seen[name][model], SIGHTS[model](documented(path, SHORT_SIDE)))
        for name, path in photos.items()
    }
    assert {name: gap for name, gap in gaps.items() if gap > SAME} == {}


@pytest.mark.parametrize("model", SIGHTS)
def test_the_whole_photo_says_nearly_the_same(seen, photos, model):
    gaps = {
        name: rough_difference(
            seen[name][model], SIGHTS[model](whole(path)), least_score=LEAST_SCORES.get(model, 0), allowed=NEAR
        )
        for name, path in photos.items()
    }
    assert {name: gap for name, gap in gaps.items() if gap > NEAR} == {}


@pytest.mark.parametrize(
    ("model", "telling"),
    [
        ("scene_label", album.READABLE),
        ("object_detect", ("astronaut.jpg", "chelsea.png", "coffee.jpg", "company.jpg")),
        ("face_detect", ("astronaut.jpg", "large-astronaut.jpg", "turned-6.jpg", "company.jpg")),
        ("unsafe", ("astronaut.jpg", "coffee.jpg", "large-astronaut.jpg", "turned-6.jpg")),
    ],
)
def test_a_reference_that_takes_blue_for_red_disagrees(seen, photos, model, telling):
    """The comparison has teeth, on photos of which the model has something to say."""
    wrong = {name: SIGHTS[model](documented(photos[name], SHORT_SIDE), swapped=True) for name in telling}
    assert [name for name in telling if difference(seen[name][model], wrong[name]) <= SAME] == []


@pytest.mark.parametrize("model", ["object_detect", "face_detect"])
def test_a_reference_that_leaves_a_photo_on_its_side_disagrees(seen, photos, model):
    lying = np.rot90(documented(photos["turned-6.jpg"], SHORT_SIDE))
    assert difference(seen["turned-6.jpg"][model], SIGHTS[model](lying)) > SAME


def test_the_references_decode_as_much_as_the_default_models_need():
    assert max(MODELS[name].short_side for name in SIGHTS) == SHORT_SIDE
