"""What `safelight chaos` says of rounds: exact only when all was done and all was accounted for."""

import json
from collections import Counter
from dataclasses import replace
from itertools import islice
from random import Random

import pytest

from ops.stack.process import StackError
from streams.settings import Settings
from tests.chaos import teeth
from tests.chaos.__main__ import main
from tests.chaos.account import Account
from tests.chaos.arms import BOUNDARIES
from tests.chaos.feed import Album, Drafts
from tests.chaos.plan import SERVERS
from tests.chaos.report import report
from tests.chaos.round import Outcome

pytestmark = pytest.mark.unit

EXACT = Outcome(
    seed=1,
    account=Account(
        published=9, settled=9, lost=0, duplicated=0, mismatched=[], examples=[], excluded_columns={"photos": ["*"]}
    ),
    by_boundary=Counter([*BOUNDARIES, *SERVERS, *BOUNDARIES]),
    others=Counter({("told to end", "read"): 2, ("told to end", "claiming"): 1, ("broker held up", ""): 1}),
    unreached=Counter(),
    ended=[],
    late=[],
    failures=[],
    faults=Counter({"no value": 1}),
    feed_error="",
    seconds=1.0,
)


@pytest.fixture
def chaos(monkeypatch, tmp_path):
    """The exit code and the report of rounds that come to these outcomes, or raise."""

    def run(*outcomes, kills=EXACT.kills):
        left = list(outcomes)

        def play(*_args, **_others):
            outcome = left.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr("tests.chaos.__main__.play", play)
        file = tmp_path / "chaos.json"
        code = main(["--kills", str(kills), "--rounds", str(len(outcomes)), "--seed", "3", "--json", str(file)])
        return code, json.loads(file.read_text())

    return run


def test_an_exact_round_is_exact(chaos):
    code, written = chaos(EXACT)
    assert (code, written["failed"]) == (0, [])
    assert [written[name] for name in ("lost", "duplicated", "mismatched_tables")] == [0, 0, 0]


@pytest.mark.parametrize("why", [StackError("triton did not start (see /tmp/somewhere/triton.log)"), KeyError("x")])
def test_a_round_that_ends_otherwise_is_told_with_its_command_and_does_not_read_as_exact(chaos, capsys, why):
    code, written = chaos(replace(EXACT, by_boundary=Counter(read=20)), why, kills=40)
    assert code == 1
    assert "repeat it: safelight chaos --kills 20 --seed 4" in capsys.readouterr().err
    assert written["failed"][0].startswith(f"seed 4: {type(why).__name__}")
    assert "/tmp" not in json.dumps(written)
    assert [written[name] for name in ("lost", "duplicated", "mismatched_tables")] == [None, None, None]


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (replace(EXACT, feed_error="BufferError: full"), "seed 3: the feed failed: BufferError: full"),
        (replace(EXACT, account=replace(EXACT.account, published=0, settled=0)), "seed 3: nothing was published"),
        (replace(EXACT, account=replace(EXACT.account, lost=1)), "seed 3: not exact"),
        (
            replace(EXACT, by_boundary=EXACT.by_boundary + Counter(read=2) - Counter(begun=2)),
            "no worker was killed at begun",
        ),
    ],
)
def test_what_proves_nothing_fails(chaos, outcome, why):
    code, written = chaos(outcome)
    assert (code, written["failed"]) == (1, [why])


def test_too_few_kills_fail_also_after_the_round_that_makes_up(chaos, monkeypatch):
    few = replace(EXACT, by_boundary=Counter(read=3))
    monkeypatch.setattr("tests.chaos.__main__._share", lambda _, outcomes: 0 if outcomes else 5)
    code, written = chaos(few, kills=5)
    assert (code, written["failed"]) == (1, ["3 kills were made, of 5"])


def test_a_report_tells_what_was_done_besides_and_where():
    written = report([EXACT, EXACT])
    assert written["besides_kills"] == {"broker held up": 2, "told to end": 6}
    assert written["by_boundary_besides"] == {"claiming: told to end": 2, "read: told to end": 4}


def test_a_report_names_no_folder_of_this_machine():
    examples = ["lost: object_uri='file:///tmp/safelight-chaos-x/objects/a.jpg', image/jpeg", "photos.admitted-3: 1/2"]
    written = report([replace(EXACT, account=replace(EXACT.account, examples=examples))])
    assert written["examples"] == ["lost: object_uri='file://…', image/jpeg", "photos.admitted-3: 1/2"]


def bitten(monkeypatch, with_it, without):
    monkeypatch.setattr(teeth, "play", lambda *_, bug, **__: without if bug.startswith("without") else with_it)
    name = "name_every_claim_anew"
    return teeth.bite(1, lambda _: None, [name])[name]


CAUGHT = replace(EXACT, account=replace(EXACT.account, duplicated=1), by_boundary=Counter())
IDLE = {"by_boundary": Counter(), "others": Counter()}


def test_a_bug_that_bites_when_workers_are_stopped_is_caught_without_a_kill(monkeypatch):
    each = bitten(monkeypatch, CAUGHT, EXACT)
    assert (each["caught"], each["exact_without_it"], each["deeds"], each["kills"]) == (True, True, 12, 0)


@pytest.mark.parametrize(
    ("with_it", "without", "caught", "exact"),
    [(replace(CAUGHT, **IDLE), EXACT, False, True), (CAUGHT, replace(EXACT, **IDLE), True, False)],
)
def test_runs_in_which_nothing_was_done_say_nothing(monkeypatch, with_it, without, caught, exact):
    each = bitten(monkeypatch, with_it, without)
    assert (each["caught"], each["exact_without_it"]) == (caught, exact)


def test_a_short_feed_has_every_kind_of_bad_event(tmp_path):
    settings = Settings(object_roots=(tmp_path.as_uri(),), partitions=4)
    drafts = list(islice(Drafts(1, Album(tmp_path, Random(1)), settings), 300))
    assert {draft.fault for draft in drafts} == {"", *Drafts.FAULTS}
