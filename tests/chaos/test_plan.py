import subprocess
import threading
from argparse import Namespace
from collections import Counter
from types import SimpleNamespace

import pytest

from streams.step import Step
from tests.chaos.__main__ import _share
from tests.chaos.arms import BOUNDARIES, Action, Arm, Charge
from tests.chaos.bugs import BUGS
from tests.chaos.plan import REACHES, SERVERS, aimed, plan
from tests.chaos.servers import Servers
from tests.chaos.weather import Trouble
from tests.support.eventually import eventually

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("seed", range(1, 11))
def test_a_short_plan_kills_a_worker_at_every_boundary_and_every_server(seed):
    deeds = [deed for deed in plan(25, seed) if deed.action is Action.KILL]
    assert len(deeds) == 25
    assert {deed.boundary for deed in deeds if not deed.instead} >= set(BOUNDARIES)
    assert {deed.agent for deed in deeds if not deed.boundary} == set(SERVERS)


def test_a_short_plan_has_every_kind_of_bad_weather():
    assert {(deed.agent, deed.action) for deed in plan(25, seed=1) if isinstance(deed.action, Trouble)} == {
        ("objects", Trouble.GONE),
        *((server, trouble) for server in ("clickhouse", "triton") for trouble in Trouble if trouble != Trouble.GONE),
    }


def test_the_first_kill_at_a_boundary_is_a_workers_and_some_later_one_a_servers():
    first = {}
    for deed in plan(1000, seed=4):
        if deed.action is Action.KILL and deed.boundary:
            first.setdefault(deed.boundary, deed.instead)
    assert not any(first.values())
    assert {deed.instead for deed in plan(1000, seed=4)} == {"", *SERVERS}


@pytest.mark.parametrize(("kills", "seeds"), [(1000, [7]), (200, [1, 2, 3, 4, 5])])
def test_each_agent_is_stopped_told_to_end_and_held_up_at_every_boundary(kills, seeds):
    deeds = [deed for seed in seeds for deed in plan(kills, seed)]
    places = {(agent, boundary) for agent, boundaries in REACHES.items() for boundary in boundaries}
    for action, long in ((Action.STOP, True), (Action.LEAVE, False), (Action.HANG, True)):
        assert {(deed.agent, deed.boundary) for deed in deeds if (deed.action, deed.long) == (action, long)} >= places


def test_a_long_plan_gives_every_boundary_its_share_and_every_server_some():
    deeds = [deed for deed in plan(1000, seed=3) if deed.action is Action.KILL]
    by_boundary = Counter(deed.boundary for deed in deeds if deed.boundary)
    assert min(by_boundary[boundary] for boundary in BOUNDARIES) > 40
    assert {deed.agent for deed in deeds if not deed.boundary} == set(SERVERS)


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


def test_a_worker_waits_at_the_boundary_until_it_is_released(tmp_path):
    harness, worker = Arm(tmp_path / "arm"), Arm(tmp_path / "arm")
    harness.charge(Charge(Step.CLAIMING, Action.WAIT, seconds=60))
    there = threading.Thread(target=worker.reached, args=(Step.CLAIMING,))
    there.start()
    eventually(lambda: _holds(harness.fired), within=10)
    assert there.is_alive()
    harness.release()
    there.join(10)
    assert not there.is_alive()


def _holds(what):
    assert what


class _Program:
    """A server as far as its process goes."""

    def __init__(self):
        self._process = subprocess.Popen(["sleep", "100"])

    @property
    def pid(self):
        return self._process.pid

    def running(self):
        return self._process.poll() is None


def test_a_server_is_killed_as_it_is_now_and_one_that_is_not_there_is_not_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.chaos.servers._BACK_SECONDS", 0.1)
    servers = Servers(tmp_path)
    servers.all = {"broker": _Program()}
    assert servers.kill("broker")
    assert not servers.all["broker"].running()
    assert not servers.kill("broker")
    assert not servers.hold_up("broker", 0.0)


@pytest.mark.parametrize(
    ("done", "share"), [([], 34), ([34, 30], 33), ([34, 30, 33], 3), ([34, 33, 33], 0), ([34, 30, 33, 1], 0)]
)
def test_kills_that_could_not_be_made_are_made_up_for_once(done, share):
    assert _share(Namespace(kills=100, rounds=3), [SimpleNamespace(kills=kills) for kills in done]) == share
