from argparse import Namespace
from collections import Counter
from types import SimpleNamespace

import pytest

from streams.step import Step
from tests.chaos.__main__ import _share
from tests.chaos.arms import BOUNDARIES, Action, Arm, Charge
from tests.chaos.bugs import BUGS
from tests.chaos.plan import REACHES, aimed, plan

pytestmark = pytest.mark.unit


def test_a_short_plan_comes_by_every_boundary():
    deeds = [deed for deed in plan(25, seed=1) if deed.action is Action.KILL]
    assert len(deeds) == 25
    assert {deed.boundary for deed in deeds} >= set(BOUNDARIES)


def test_a_long_plan_gives_every_boundary_its_share_and_every_server_some():
    deeds = [deed for deed in plan(1000, seed=3) if deed.action is Action.KILL]
    by_boundary = Counter(deed.boundary for deed in deeds if deed.boundary)
    assert min(by_boundary[boundary] for boundary in BOUNDARIES) > 40
    assert {deed.agent for deed in deeds if not deed.boundary} == {"broker", "clickhouse", "triton"}


def test_a_plan_is_the_same_for_the_same_seed():
    assert plan(100, seed=5) == plan(100, seed=5) != plan(100, seed=6)


def test_agents_are_only_hit_where_they_come_by():
    for deed in plan(300, seed=2):
        assert not deed.boundary or deed.boundary in REACHES[deed.agent]


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_every_bug_has_a_place_to_bite(bug):
    assert aimed(10, 1, at=bug.at, agents=bug.agents, action=bug.action)


def test_an_armed_worker_acts_once_at_the_boundary_when_it_has_come_by_often_enough(tmp_path):
    harness, worker = Arm(tmp_path / "arm"), Arm(tmp_path / "arm")
    harness.charge(Charge(Step.PUBLISHED, Action.HANG, passes=2))
    worker.reached(Step.COMMITTED)
    worker.reached(Step.PUBLISHED)
    assert not harness.fired
    worker.reached(Step.PUBLISHED)
    assert harness.fired


def test_a_disarmed_worker_does_nothing(tmp_path):
    arm = Arm(tmp_path / "arm")
    arm.charge(Charge(Step.READ, Action.KILL))
    arm.disarm()
    arm.reached(Step.READ)
    assert not arm.fired


@pytest.mark.parametrize(
    ("done", "share"), [([], 34), ([34, 30], 33), ([34, 30, 33], 3), ([34, 33, 33], 0), ([34, 30, 33, 1], 0)]
)
def test_kills_that_could_not_be_made_are_made_up_for_once(done, share):
    assert _share(Namespace(kills=100, rounds=3), [SimpleNamespace(kills=kills) for kills in done]) == share
