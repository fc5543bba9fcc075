"""When a server is started again, and how soon."""

import threading
from datetime import timedelta

import pytest

from ops.stack.process import StackError
from ops.stack.watch import Patience, Watch
from tests.support.clock import Clock
from tests.support.servers import FakeServer

pytestmark = pytest.mark.unit


@pytest.fixture
def server():
    return FakeServer("enrich")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def events():
    return []


@pytest.fixture
def watch(server, clock, events):
    patience = Patience(every=timedelta(seconds=3), silence=timedelta(seconds=30))
    watch = Watch(server, clock=clock, on_event=events.append, patience=patience)
    watch.start()
    return watch


def live(watch, clock, seconds):
    """Step as the supervisor does, until the clock is so much later."""
    end = clock.now + seconds
    while clock.now < end:
        clock.now += watch.step()


def test_a_server_that_runs_is_left_alone(watch, server, clock, events):
    live(watch, clock, 100)
    assert server.log == ["start enrich", "enrich serves"]
    assert events == []
    assert watch.healthy


def test_one_that_exits_is_started_again_and_both_are_said(watch, server, clock, events):
    server.exit(3)
    live(watch, clock, 1)
    assert server.running()
    assert events == ["enrich exited with 3: starting again", "enrich is back"]
    assert (watch.restarts, watch.last_exit_code) == (1, 3)


def test_the_pauses_double_from_a_fifth_of_a_second_to_five_seconds(watch, server):
    pauses = []
    for _ in range(7):
        server.exit(1)
        pauses.append(watch.step())
        watch.step()
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_half_a_minute_of_life_makes_the_pause_short_again(watch, server, clock):
    for _ in range(5):
        server.exit(1)
        watch.step()
        watch.step()
    live(watch, clock, 31)
    server.exit(1)
    assert watch.step() == 0.2


def test_a_short_life_does_not(watch, server, clock):
    server.exit(1)
    watch.step()
    watch.step()
    live(watch, clock, 20)
    server.exit(1)
    assert watch.step() == 0.4


def test_one_that_does_not_start_is_tried_again_later_and_later(watch, server, clock, events):
    server.exit(1)
    server.fails_to_start = True
    live(watch, clock, 3)
    assert events[1:3] == [
        "enrich does not serve after 1 s: no room; trying again in 0.4 s",
        "enrich does not serve after 1 s: no room; trying again in 0.8 s",
    ]
    server.fails_to_start = False
    live(watch, clock, 10)
    assert events[-1] == "enrich is back"


def test_the_first_start_fails_before_its_caller(server, clock):
    server.fails_to_start = True
    with pytest.raises(StackError, match="no room"):
        Watch(server, clock=clock, on_event=print).start()


def test_one_that_is_silent_for_a_while_is_unhealthy_but_left_alone(watch, server, clock):
    server.answers = False
    live(watch, clock, 25)
    assert not watch.healthy
    assert "stop enrich" not in server.log
    server.answers = True
    live(watch, clock, 4)
    assert watch.healthy


def test_one_that_stays_silent_is_stopped_and_started(watch, server, clock, events):
    server.answers = False
    live(watch, clock, 34)
    assert events[0].startswith("enrich has not answered for 3")
    assert server.log[2:4] == ["stop enrich", "start enrich"]
    server.answers = True
    live(watch, clock, 4)
    assert watch.healthy
    assert watch.restarts == 1


def test_an_answer_in_between_starts_the_silence_anew(watch, server, clock, events):
    for _ in range(4):
        server.answers = False
        live(watch, clock, 20)
        server.answers = True
        live(watch, clock, 4)
    assert events == []


def test_health_is_asked_every_few_seconds_and_not_at_each_step(watch, server, clock):
    asked = []
    server.healthy = lambda: asked.append(clock.now) or True
    live(watch, clock, 10)
    assert len(asked) == 3


def test_nothing_is_started_once_the_stack_is_stopping(server, clock, events):
    stopping = threading.Event()
    watch = Watch(server, clock=clock, on_event=events.append, stopping=stopping)
    watch.start()
    stopping.set()
    server.exit(0)
    live(watch, clock, 10)
    assert not server.running()
    assert events == []
