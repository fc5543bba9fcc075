"""What was read in photos, back from ClickHouse: text is off by default, so a stack of its own is asked for it."""

import numpy as np
import pytest

from agents.vision.text import TEXT
from ops.stack.embedded import Embedded
from tests.support import album
from tests.support.backbone import Backbone
from tests.support.reference_picture import documented, whole
from tests.support.reference_sight import Found, Sight, difference, rough_difference
from tests.support.reference_text import text

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SAME = 1e-3
NEAR = 0.1

SHORT_SIDE = 720

WRITTEN = {
    "large-astronaut.jpg": "largeastronaut,photono.8",
    "large-chelsea.jpg": "largechelsea,photono.9",
    "large-china.jpg": "largechina,photono.10",
    "large-coffee.jpg": "largecoffee,photono.11",
    "large-flower.jpg": "largeflower,photono.12",
    "turned-6.jpg": "turnedby6",
    "turned-3.jpg": "turnedby3",
    "turned-8.jpg": "turnedby8",
    "company.jpg": "MINDTHESTEP",
}
"""Without the spaces, which the model is not always sure of."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SAFELIGHT_MODELS", "text")
        embedded = Embedded(tmp_path_factory.mktemp("reading"), page_port=0, clickhouse_port=0)
        embedded.start()
        try:
            yield Backbone(embedded)
        finally:
            embedded.stop()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """By their names."""
    return {path.name: path for path in album.make(tmp_path_factory.mktemp("album"))}


@pytest.fixture(scope="module")
def seen(stack, photos):
    """What was read in each photo."""
    events = stack.upload(list(photos.values()))
    stack.wait_for_outcomes(events, within=300)
    rows = stack.query(
        "SELECT photo_id, arrayZip(regions.name, regions.score, regions.left, regions.top, regions.width, regions.height, "
        "regions.points, regions.text) FROM photos WHERE owner_id = {owner:String}",
        owner=events[0].owner_id,
    )
    names = {event.photo_id: name for name, event in zip(photos, events, strict=True)}
    return {
        names[photo_id]: Sight(
            [], [Found(name, score, box, tuple(points), words) for name, score, *box, points, words in regions]
        )
        for photo_id, regions in rows
    }


def plain(found):
    return found.text.replace(" ", "")


def test_what_is_written_was_read(seen):
    read = {name: [plain(each) for each in seen[name].regions] for name in WRITTEN}
    assert {name: words for name, words in WRITTEN.items() if words not in read[name]} == {}


def test_numbers_are_the_reference_s(seen, photos):
    assert set(seen) == set(photos)
    gaps = {name: difference(seen[name], text(documented(path, SHORT_SIDE))) for name, path in photos.items()}
    assert {name: gap for name, gap in gaps.items() if gap > SAME} == {}


def test_the_whole_photo_says_nearly_the_same(seen, photos):
    """Of what is written there: what is taken for characters without being any changes with every pixel."""
    gaps = {}
    for name, words in WRITTEN.items():
        ours, theirs = (
            [each for each in sight.regions if plain(each) == words]
            for sight in (seen[name], text(whole(photos[name])))
        )
        gaps[name] = rough_difference(Sight([], ours), Sight([], theirs), allowed=NEAR)
    assert {name: gap for name, gap in gaps.items() if gap > NEAR} == {}


@pytest.mark.parametrize("name", ["large-chelsea.jpg", "large-flower.jpg", "turned-6.jpg", "company.jpg"])
def test_a_reference_that_takes_blue_for_red_or_leaves_a_photo_on_its_side_disagrees(seen, photos, name):
    """The comparison has teeth; white on grey would read the same."""
    pixels = documented(photos[name], SHORT_SIDE)
    assert difference(seen[name], text(pixels, swapped=True)) > SAME
    assert difference(seen[name], text(np.rot90(pixels))) > SAME


def test_the_reference_decodes_as_much_as_the_model_needs():
    assert TEXT.short_side == SHORT_SIDE
