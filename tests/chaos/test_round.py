"""A short round: at every boundary something is killed under load, and every event is accounted for. `safelight chaos` plays longer ones."""

import pytest

from tests.chaos.arms import BOUNDARIES
from tests.chaos.feed import Drafts
from tests.chaos.plan import SERVERS, plan
from tests.chaos.round import play
from tests.chaos.weather import Trouble

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

SEED = 1


def test_killed_at_every_boundary_the_whole_road_stays_exact(tmp_path):
    outcome = play(tmp_path, plan(25, SEED), seed=SEED, say=print)
    again = f"safelight chaos --kills 25 --seed {SEED}"
    assert not outcome.wrong, "\n".join([outcome.wrong, *outcome.account.mismatched, *outcome.account.examples, again])
    assert set(outcome.by_boundary) >= {*BOUNDARIES, *SERVERS}, f"not reached: {outcome.unreached}"
    assert outcome.kills >= 25
    troubles = {f"{deed.agent} {deed.action}" for deed in plan(25, SEED) if isinstance(deed.action, Trouble)}
    assert {what for what, _ in outcome.others} >= troubles
    assert set(outcome.faults) == set(Drafts.FAULTS)
    assert outcome.account.published > 100  # the faster the machine, the fewer
