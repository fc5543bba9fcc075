from datetime import UTC, datetime

import pytest

from streams.position import Allowance, Pending, Position

pytestmark = pytest.mark.unit

SINCE = datetime(2026, 3, 1, 12, 0, 0, 125000, UTC)


@pytest.mark.parametrize(
    "position",
    [
        Position(7, "topic-id"),
        Position(7, "topic-id", Pending(41, SINCE)),
        Position(7, "topic-id", Pending(7, SINCE, "KeyError at agents/store.py:1 in store"), 2, suspect=9),
        Position(7, "topic-id", allowance=Allowance(-1.5, SINCE)),
        Position(7, "topic-id", tries=2, format=1, suspect=9, culprits=3, changelog="changelog-id"),
    ],
)
def test_a_position_comes_back_from_its_offset_and_note(position):
    assert Position.of(position.offset, position.note) == position


def test_a_note_fits_into_what_a_broker_takes():
    assert (
        len(Position(2**62, "x" * 40, Pending(2**62, SINCE), allowance=Allowance(9999.999, SINCE)).note) < 4096
    )  # offset.metadata.max.bytes


@pytest.mark.parametrize("note", ["", "by hand", "7", "{}", "[]", "null", '{"topic": "id", "pending": 3}'])
def test_the_note_of_another_is_told(note):
    with pytest.raises(ValueError):  # noqa: PT011 (json's own is one too)
        Position.of(7, note)
