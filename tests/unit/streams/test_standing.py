from datetime import UTC, datetime

import pytest

from streams.position import Pending, Position
from streams.standing import Expected, Log, expired, judge, refusal

pytestmark = pytest.mark.unit

LOG = Log(4, 9)
EXPECTED = Expected("topic-id", "changelog-id", 2)


def standing(offset, *, topic_id="topic-id", note=None, expected=EXPECTED, **fields):
    fields = {"changelog": "changelog-id", "format": 2} | fields
    note = Position(offset, topic_id, **fields).note if note is None else note
    return judge(offset, note, expected, LOG)


@pytest.mark.parametrize("offset", [4, 7, 9])
def test_a_position_of_ours_within_the_log_is_sound(offset):
    found = standing(offset)
    assert found.fault is None
    assert found.position == Position(offset, "topic-id", format=2, changelog="changelog-id")


def test_nothing_committed_is_no_fault_yet():
    assert standing(-1001, note="") == (judge(-1, "", EXPECTED, LOG))
    assert standing(-1001, note="").fault is None


@pytest.mark.parametrize(
    ("offset", "fields", "says", "to"),
    [
        (7, {"note": ""}, "set by something else", "here"),
        (3, {"note": ""}, "set by something else", "beginning"),
        (7, {"topic_id": "older"}, "earlier topic", "beginning"),
        (3, {}, "is 3, and the log has 4 to 9", "beginning"),
        (10, {}, "is 10, and the log has 4 to 9", "end"),
        (7, {"pending": Pending(9, datetime(2026, 3, 1, tzinfo=UTC))}, "pending up to 9", "end"),
        (7, {"changelog": "older"}, "changelog was made anew", "here"),
        (7, {"format": 3}, "use a newer safelight", ""),
    ],
)
def test_what_makes_no_sense_is_told_with_what_to_accept(offset, fields, says, to):
    fault = standing(offset, **fields).fault
    assert says in fault.what
    assert fault.to == to


def test_a_newer_state_is_told_before_anything_that_could_be_accepted():
    assert "newer safelight" in standing(3, topic_id="older", format=3).fault.what


def test_a_state_of_an_older_format_is_for_its_agent_to_read():
    assert standing(7, format=1).fault is None


def test_a_note_from_before_notes_named_the_changelog_is_ours():
    assert standing(7, changelog="").fault is None


def test_a_refusal_is_one_line_with_both_commands():
    line = str(refusal("ns.safelight-admit", "ns.photos.events", 3, expired("ns.photos.admit.changelog")))
    assert line == (
        "the position of ns.safelight-admit in ns.photos.events-3 has expired or was deleted, and ns.photos.admit.changelog has "
        "entries of the partition: `safelight offsets` shows it, and `safelight offsets accept admit --topic ns.photos.events "
        "--partition 3 --to beginning` accepts it"
    )


def test_what_only_a_newer_version_mends_can_be_forgotten():
    line = str(refusal("safelight-admit", "photos.events", 3, standing(7, format=3).fault))
    assert line == (
        "the position of safelight-admit in photos.events-3 came with a state of format 3, and this safelight reads 2: use a newer "
        "safelight (`safelight offsets` shows it), or begin with no state: `safelight offsets accept admit --topic photos.events "
        "--partition 3 --to here --forget`"
    )
