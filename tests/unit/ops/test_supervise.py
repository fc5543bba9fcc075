"""A set of servers, kept running together."""

import sys
import threading
from datetime import timedelta

import pytest

from ops.stack.command import Command
from ops.stack.process import StackError
from ops.stack.status import read_status
from ops.stack.supervise import Supervisor
from ops.stack.watch import Patience
from tests.support.eventually import eventually
from tests.support.servers import FakeServer

pytestmark = pytest.mark.unit

QUICK = Patience(every=timedelta(seconds=0.05), silence=timedelta(seconds=0.3))


@pytest.fixture
def log():
    return []


@pytest.fixture
def events():
    return []


@pytest.fixture
def supervisor(tmp_path, events):
    with Supervisor(tmp_path, on_event=events.append, patience=QUICK) as supervisor:
        yield supervisor


def test_groups_start_in_order_and_stop_in_reverse(supervisor, log):
    supervisor.start([[FakeServer("kafka", log)], [FakeServer("admit", log)]])
    supervisor.stop()
    assert log[:4] == ["start kafka", "kafka serves", "start admit", "admit serves"]
    assert log.index("stop admit") < log.index("stop kafka")


def test_the_servers_of_a_group_start_at_once(supervisor):
    slow, other = FakeServer("slow"), FakeServer("other")
    slow.may_start.clear()
    start = threading.Thread(target=supervisor.start, args=([[slow, other]],))
    start.start()
    eventually(lambda: check(other.running()))
    assert not slow.running()
    slow.may_start.set()
    start.join(10)
    assert slow.running()


def test_one_that_does_not_start_takes_all_down_and_frees_the_folder(tmp_path, log):
    broken = FakeServer("triton", log)
    broken.fails_to_start = True
    kafka = FakeServer("kafka", log)
    with pytest.raises(StackError, match="triton does not serve"):
        Supervisor(tmp_path).start([[kafka], [broken]])
    assert not kafka.running()
    with Supervisor(tmp_path) as again:
        again.start([[FakeServer()]])


def test_one_that_does_not_start_is_said_without_waiting_for_the_others(tmp_path):
    broken, slow = FakeServer("broken"), FakeServer("slow")
    broken.fails_to_start = True
    slow.may_start.clear()
    try:
        with pytest.raises(StackError, match="broken does not serve"):
            Supervisor(tmp_path).start([[slow, broken]])
    finally:
        slow.may_start.set()


def test_a_killed_program_is_started_again(supervisor, tmp_path, events):
    worker = Command("enrich", [sys.executable, "-c", "import time; time.sleep(600)"], log=tmp_path / "enrich.log")
    supervisor.start([[worker]])
    first = worker.pid
    worker._process._child.kill()
    eventually(lambda: check(worker.running() and worker.pid != first))
    eventually(lambda: check(events == ["enrich exited with -9: starting again", "enrich is back"]))


def test_a_silent_server_does_not_keep_the_others_from_being_watched(supervisor, events):
    silent, other = FakeServer("silent"), FakeServer("other")
    supervisor.start([[silent, other]])
    stuck = threading.Event()
    silent.healthy = lambda: stuck.wait(10)
    try:
        other.exit(1)
        eventually(lambda: check("other is back" in events))
    finally:
        stuck.set()


def test_what_is_up_is_published_and_follows_what_happens(supervisor, tmp_path):
    kafka, admit = FakeServer("kafka"), FakeServer("admit")
    supervisor.start([[kafka], [admit]])
    up = {server.name: server for server in read_status(tmp_path)}
    assert (up["kafka"].pid, up["kafka"].address, up["kafka"].healthy) == (101, "127.0.0.1:kafka", True)
    admit.exit(3)

    def follows():
        status = {server.name: server for server in read_status(tmp_path)}["admit"]
        assert (status.restarts, status.last_exit_code, status.pid, status.healthy) == (1, 3, 102, True)
        assert status.since is not None

    eventually(follows)
    kafka.answers = False
    eventually(lambda: check(not read_status(tmp_path)[0].healthy))


def test_a_second_stack_in_the_same_folder_is_refused(supervisor, tmp_path):
    supervisor.start([[FakeServer()]])
    other = FakeServer("other")
    with pytest.raises(StackError, match="already runs"), Supervisor(tmp_path) as second:
        second.start([[other]])
    assert other.log == []
    assert read_status(tmp_path) is not None


def test_a_server_that_does_not_stop_is_named_after_the_bound(tmp_path):
    stuck = FakeServer("stuck")
    supervisor = Supervisor(tmp_path)
    supervisor.start([[stuck], [FakeServer("other")]])
    stuck.may_stop.clear()
    try:
        with pytest.raises(StackError, match="did not stop within 0 s: stuck"):
            supervisor.stop(within=timedelta(seconds=0.2))
    finally:
        stuck.may_stop.set()


def test_a_server_that_is_being_started_again_is_stopped_too(supervisor):
    server = FakeServer("server")
    supervisor.start([[server]])
    server.may_start.clear()
    server.exit(1)
    eventually(lambda: check(server.log.count("start server") == 2))
    stop = threading.Thread(target=supervisor.stop)
    stop.start()
    server.may_start.set()
    stop.join(10)
    assert not server.running()


def test_stopping_twice_is_harmless(supervisor, log):
    supervisor.start([[FakeServer("kafka", log)]])
    supervisor.stop()
    count = len(log)
    supervisor.stop()
    assert len(log) == count


def check(holds):
    assert holds
