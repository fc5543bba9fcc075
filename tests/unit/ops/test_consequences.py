from datetime import UTC, datetime

import pytest

from ops.cli.consequences import consequences
from streams.claim import Changelog, Source
from streams.offsets import Found
from streams.position import Pending, Position
from streams.standing import Log, Standing
from streams.topology import FLOWS

pytestmark = pytest.mark.unit

SOURCE = Source("ns.photos.events", "topic-id", 3)
CHANGELOG = Changelog("ns.photos.admit.changelog", "changelog-id", 3)
WHOLE = Log(0, 100)
PENDING = Pending(14, datetime(2026, 3, 1, tzinfo=UTC))


def said(to, was, *, agent="admit", log=WHOLE, forget=False, pending=None):
    """In one line each, separated by new lines."""
    changelog = CHANGELOG if FLOWS[agent].changelog else None
    found = Found(agent, SOURCE, changelog, Standing(was.offset if was else -1, was, log), 0)
    return "\n".join(consequences(found, Position(to, "topic-id", pending), forget=forget))


def at(offset, topic_id="topic-id", **fields):
    return Position(offset, topic_id, **fields)


def test_going_back_is_harmless_where_an_agent_remembers():
    assert said(5, at(10)).startswith("records 5 to 9 are worked on again: admit knows their ids")
    assert said(5, at(10), agent="group").startswith("records 5 to 9 are worked on again: group knows the photos")


def test_going_back_doubles_where_nothing_is_remembered():
    assert "they count twice" in said(5, at(10), agent="store")
    assert "admit takes them for new" in said(5, at(10), forget=True)
    assert "they count twice" in said(5, at(10), agent="group", forget=True)


def test_going_on_loses_what_lies_between():
    assert said(15, at(10)) == "records 10 to 14 are passed over: photos among them are lost"


def test_staying_changes_nothing():
    assert said(10, at(10)) == ""


def test_without_a_position_nobody_knows_what_was_worked_on():
    lines = said(20, None, log=Log(20, 100)).splitlines()
    assert lines[0].startswith("records from 20 on that admit has worked on before are worked on again")
    assert lines[1] == "records below 20 that it has not worked on are lost, and those below 20 are gone from the log"


def test_a_log_that_has_lost_nothing_loses_nothing_from_its_beginning():
    assert "lost" not in said(0, None)


def test_without_a_position_the_topic_may_have_been_made_anew():
    assert "raise SAFELIGHT_GENERATION" in said(0, None)
    assert "SAFELIGHT_GENERATION" not in said(0, at(10))


def test_a_topic_made_anew_takes_what_was_unread_with_it_and_asks_for_a_new_generation():
    told = said(0, at(10, "earlier"))
    assert "what the earlier topic still had, and nobody had read, is lost" in told
    assert "SAFELIGHT_GENERATION" in told


def test_what_is_forgotten_is_told():
    assert said(10, at(10), forget=True).startswith("every event id is forgotten")
    assert said(10, at(10), agent="group", forget=True).startswith("every photo is forgotten")


def test_a_changelog_made_anew_has_forgotten_already():
    told = said(5, at(10, changelog="earlier"))
    assert "admit takes them for new" in told
    assert "every event id is forgotten" in told
    assert said(10, at(10, changelog="changelog-id")) == ""


def test_pending_rows_are_doubled_or_lost():
    was = at(10, pending=PENDING)
    assert said(10, was, agent="store").startswith("rows of records 10 to 14 are inserted again")
    assert (
        said(15, was, agent="store")
        == "rows of records 10 to 14 are not inserted any more: those that ClickHouse has not are lost"
    )
    assert said(17, was, agent="store").startswith("records 15 to 16 are passed over")
    assert said(10, was, agent="store", pending=PENDING) == ""


def test_every_agent_has_its_words():
    for agent in FLOWS:
        assert said(5, at(10), agent=agent)
