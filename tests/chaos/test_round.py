"""A short round: at every boundary something is killed under load, and every event is accounted for. `safelight chaos` plays longer ones."""

import pytest

from tests.chaos.arms import BOUNDARIES
from tests.chaos.plan import plan
from tests.chaos.round import play

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

SEED = 1


def test_killed_at_every_boundary_the_whole_road_stays_exact(tmp_path):
    outcome = play(tmp_path, plan(25, SEED), seed=SEED, say=print)
    again = f"safelight chaos --kills 25 --seed {SEED}"
    assert outcome.account.exact, "\n".join([*outcome.account.mismatched, *outcome.account.examples, again])
    assert set(outcome.by_boundary) >= set(BOUNDARIES), f"not reached: {outcome.unreached}"
    assert outcome.kills >= 25
    assert outcome.account.published > 100  # the faster the machine, the fewer
