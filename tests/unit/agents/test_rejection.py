"""A photo's rejection: of every kind of photo that an agent may have in hand."""

from datetime import timedelta

import pytest

from agents.rejection import rejection
from schemas import codec
from schemas.errors import Reason, Rejected
from schemas.events import PhotoRejected, Root
from tests.support.builders import NOON, admitted, enriched, rejected, uploaded

pytestmark = pytest.mark.unit

WHY = Rejected(Reason.DAMAGED_PHOTO, "cut short")
LATER = NOON + timedelta(seconds=5)
ROOT = Root(1, 2, 3)


@pytest.mark.parametrize("photo", [admitted(), enriched(), rejected(stage="admit", reason=Reason.WRONG_SHA256)])
def test_it_keeps_what_is_known_of_the_photo_and_says_why(photo):
    said = rejection(photo, WHY, stage="group", at=LATER, version="9")
    assert codec.decode(codec.encode(said), PhotoRejected) == said
    assert (said.photo_id, said.root, said.attempt, said.fill) == (
        photo.photo_id,
        photo.root,
        photo.attempt,
        photo.fill,
    )
    assert (said.stage, said.reason, said.detail) == ("group", Reason.DAMAGED_PHOTO, "cut short")
    assert (said.rejected_at, said.worker_version) == (LATER, "9")


def test_an_upload_is_given_its_root_and_attempt():
    said = rejection(uploaded(), WHY, stage="admit", at=LATER, version="9", lineage=(ROOT, 2))
    assert (said.root, said.attempt, said.fill) == (ROOT, 2, 0)
