"""How dead letters are shown, and what of a run's filters the audit keeps."""

import json
from datetime import UTC
from io import StringIO

import pytest
from rich.console import Console

from ops.cli import letters_view as view
from ops.cli.deadletters import Filters
from ops.redrive import Skip, Tally
from schemas.errors import Reason
from sinks.clickhouse.letters import Count
from streams.settings import Settings
from tests.support.builders import NOON
from tests.unit.ops.test_redrive import OWN, letter

pytestmark = pytest.mark.unit


def shown(*tables):
    console = Console(width=200, record=True, file=StringIO())
    for table in tables:
        console.print(table)
    return console.export_text()


def test_what_would_steer_a_terminal_is_spelled_out():
    evil = letter(photo_id="a\x1b[2Jb\x9bc", owner_id="[red]ada[/]")
    text = shown(view.rows([evil]), view.whole(evil, Settings()))
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert r"a\x1b[2Jb\x9bc" in text
    assert "[red]ada[/]" in text


def test_a_count_says_what_to_do_and_a_newer_worker_s_reason_is_shown_without():
    text = shown(view.counts([Count(Reason.OBJECT_MISSING, 3, 2, NOON), Count("of_tomorrow", 1, 1, NOON)]))
    assert Reason.OBJECT_MISSING.advice in text
    assert "of_tomorrow" in text


def test_one_letter_is_told_whole_with_what_a_redrive_would_do():
    told = view.of_letter(letter(), Settings())
    assert told["redrive"] == f"`safelight deadletters redrive 1-{OWN}-42` tries it again."
    assert json.loads(json.dumps(view.of_letter(letter(attempt=3), Settings())))["skipped"] == "retries_used_up"


def test_a_run_is_summed_up():
    tally = Tally(3)
    tally.skipped[Skip.GONE] += 2
    console = Console(width=200, record=True, file=StringIO())
    view.say(console, tally, seconds=1, dry_run=False, as_json=False)
    view.say(console, tally, seconds=1, dry_run=True, as_json=False)
    text = console.export_text()
    assert "3 events sent in 1.0 s" in text
    assert "3 events would be sent" in text
    assert Skip.GONE.words in text


def test_the_audit_keeps_neither_owner_nor_photo():
    filters = Filters([Reason.OBJECT_MISSING], "2h", "", "ada", "IMG_1", "IMG_2")
    assert filters.for_audit(NOON.astimezone(UTC)) == {
        "reason": "object_missing",
        "since": "2026-03-01T10:00:00.125000+00:00",
        "owner": "one",
        "photo": "one",
        "which": "one",
    }
    assert Filters([], "", "", None, None, "1-3-42").for_audit(NOON) == {"which": "1-3-42"}
