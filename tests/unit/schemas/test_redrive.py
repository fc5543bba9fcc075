import pytest

from schemas.events import Redrive, Root
from schemas.redrive import event_id_of, redriven
from tests.support.builders import uploaded

pytestmark = pytest.mark.unit

REDRIVE = Redrive(Root(1, 3, 42), 2)


def test_its_id_is_made_of_root_and_attempt_alone():
    assert event_id_of(REDRIVE) == "redrive-1-3-42-2"


def test_everything_else_is_the_upload_s():
    again = redriven(uploaded(), REDRIVE)
    assert again == uploaded(event_id="redrive-1-3-42-2", redrive=REDRIVE)
    assert redriven(again, Redrive(REDRIVE.root, 3)) == redriven(uploaded(), Redrive(REDRIVE.root, 3))
