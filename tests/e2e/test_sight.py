"""What was seen, read back from ClickHouse, against a reference that shares no code with the agents."""

import pytest

from ops.publish import find_photos
from tests.support import reference
from tests.support.backbone import SAMPLES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

UNREADABLE = {"cut-short.jpg", "not-a-photo.jpg"}


@pytest.fixture(scope="module")
def seen(stack):
    """Labels with scores, and the embedding, of every sample, by its name."""
    events = stack.upload()
    stack.wait_for_outcomes(events)
    names = {event.photo_id: file.name for file, event in zip(find_photos([SAMPLES]).photos, events, strict=True)}
    rows = stack.query(
        "SELECT photo_id, arrayZip(labels.name, labels.score), embedding FROM photos "
        "JOIN photo_embeddings USING (owner_id, photo_id, revision) WHERE owner_id = {owner:String}",
        owner=events[0].owner_id,
    )
    return {names[photo_id]: (labels, embedding) for photo_id, labels, embedding in rows}


def test_every_readable_sample_was_looked_at(seen):
    assert set(seen) == {file.name for file in find_photos([SAMPLES]).photos} - UNREADABLE


def test_labels_and_embeddings_are_the_references(seen):
    disagreeing = [name for name, row in seen.items() if not reference.agree(*row, reference.look(SAMPLES / name))]
    assert disagreeing == []


def test_a_reference_with_swapped_channels_disagrees_on_every_sample(seen):
    """The comparison has teeth: RGB for BGR does not pass."""
    agreeing = [
        name for name, row in seen.items() if reference.agree(*row, reference.look(SAMPLES / name, channels="BGR"))
    ]
    assert agreeing == []
