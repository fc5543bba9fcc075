"""A process of the stack: started, waited for, and gone whatever becomes of who started it."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from ops.stack import process
from ops.stack.process import Process, StackError
from tests.support.eventually import eventually

pytestmark = pytest.mark.unit

SECOND = timedelta(seconds=1)
LONG = timedelta(seconds=20)


@pytest.fixture
def started(tmp_path):
    """Starts a shell script; ends all at the end."""
    everything = []

    def start(script, **options):
        it = Process("it", ["/bin/sh", "-c", script], log=tmp_path / "logs" / "it.log", **options)
        everything.append(it)
        it.start()
        return it

    yield start
    for it in everything:
        it.stop(grace=timedelta(0))


def alive(pid):
    """A zombie is dead: nobody but its parent can do anything about it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(*pids):
    def check():
        assert not [pid for pid in pids if alive(pid)]

    return check


def written(file):
    def check():
        assert file.exists()
        assert file.read_text().endswith("\n")
        return file.read_text()

    return check


def test_output_goes_to_the_log(started):
    it = started("echo out; echo err >&2")
    eventually(lambda: _(not it.running))
    assert it.log.read_text() == "out\nerr\n"


def test_environment_is_added_to_ours_and_the_folder_is_where_it_runs(started, tmp_path, monkeypatch):
    monkeypatch.setenv("OURS", "1")
    it = started('echo "$OURS $MORE $PWD"', env={"MORE": "2"}, cwd=tmp_path)
    eventually(lambda: _(not it.running))
    assert it.log.read_text() == f"1 2 {tmp_path}\n"


def test_it_has_a_session_of_its_own(started):
    it = started("sleep 60")
    assert os.getsid(it.pid) == it.pid != os.getsid(0)


def test_before_the_first_start_there_is_nothing(tmp_path):
    it = Process("it", ["true"], log=tmp_path / "log")
    assert (it.pid, it.running, it.returncode) == (None, False, None)
    it.stop(grace=SECOND)


def test_exit_code_is_known_once_it_ended(started):
    it = started("read -r never; exit 7")
    eventually(lambda: _(not it.running))
    assert it.returncode == 7


def test_starting_twice_is_refused(started):
    it = started("sleep 60")
    with pytest.raises(StackError, match="runs already"):
        it.start()
    assert it.running


def test_it_can_be_started_again(started):
    it = started("echo once")
    eventually(lambda: _(not it.running))
    it.start()
    eventually(lambda: _(not it.running))
    assert it.log.read_text() == "once\nonce\n"


def test_ready_is_waited_for(started):
    it = started("sleep 0.2; echo serving; sleep 60")
    it.wait_ready(lambda: "serving" in it.log.read_text(), within=LONG)
    assert it.running


def test_an_early_end_is_told_with_the_last_line_and_the_log(started):
    it = started("echo first; echo the port is taken; echo; exit 3")
    with pytest.raises(StackError, match=r"^it ended with exit code 3 .*: the port is taken \(see .*it\.log\)$"):
        it.wait_ready(lambda: False, within=LONG)


def test_a_line_that_speaks_of_an_error_is_told_rather_than_the_last(started):
    it = started("echo loading; echo 'Error: no such graph'; echo at line 7; echo ';'; exit 1")
    with pytest.raises(StackError, match=": Error: no such graph "):
        it.wait_ready(lambda: False, within=LONG)


def test_what_an_earlier_start_wrote_is_not_told(started, tmp_path):
    it = started("test -e again && echo quiet || echo error: of the first start; touch again; exit 1", cwd=tmp_path)
    eventually(lambda: _(not it.running))
    it.start()
    with pytest.raises(StackError, match=": quiet "):
        it.wait_ready(lambda: False, within=LONG)


def test_a_program_that_is_not_there_is_named(tmp_path):
    it = Process("it", [tmp_path / "absent"], log=tmp_path / "log")
    it.start()
    with pytest.raises(StackError, match=r"absent.*not found"):
        it.wait_ready(lambda: False, within=LONG)


def test_what_does_not_serve_in_time_is_ended(started):
    it = started("echo still loading; sleep 60")
    eventually(written(it.log))
    with pytest.raises(StackError, match=r"does not serve after 0 s: still loading"):
        it.wait_ready(lambda: False, within=timedelta(seconds=0.1))
    assert not alive(it.pid)


def test_stop_asks_first(started):
    it = started("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    eventually(written(it.log))
    it.stop(grace=LONG)
    assert it.returncode == 0
    assert it.log.read_text() == "up\nbye\n"


def test_stop_ends_what_does_not_listen(started):
    it = started("trap '' TERM; echo up; while :; do sleep 0.05; done")
    eventually(written(it.log))
    it.stop(grace=timedelta(seconds=0.2))
    assert it.returncode == -signal.SIGKILL
    it.stop(grace=LONG)


def test_what_it_started_ends_with_it(started, tmp_path):
    it = started(f"sleep 60 & echo $! > {tmp_path}/child; exit 0")
    child = int(eventually(written(tmp_path / "child")))
    eventually(lambda: _(not it.running))
    eventually(gone(child))


def test_no_guard_is_left_behind(started):
    it = started("sleep 60")
    guard = it._guard.pid
    it.stop(grace=LONG)
    assert not alive(guard)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_does_not_outlive_the_python_that_started_it(tmp_path, number):
    script = f"trap '' INT; sleep 60 & echo $$ $! > {tmp_path}/pids; wait"
    program = (
        "import time; from pathlib import Path; from ops.stack.process import Process;"
        f"Process('it', ['/bin/sh', '-c', {script!r}], log=Path({str(tmp_path / 'log')!r})).start(); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[3], stderr=subprocess.DEVNULL
    ) as python:
        pids = list(map(int, eventually(written(tmp_path / "pids")).split()))
        assert all(map(alive, pids))
        python.send_signal(number)
    eventually(gone(*pids))


def test_a_python_that_dies_before_the_guard_is_there_leaves_nothing(tmp_path):
    """The command waits for a word that then never comes."""
    launch = ["/bin/sh", "-c", process._LAUNCH, "sh", "touch", str(tmp_path / "ran")]
    assert subprocess.run(launch, stdin=subprocess.DEVNULL, check=False).returncode != 0
    assert not (tmp_path / "ran").exists()


def test_a_long_log_is_put_aside_at_the_next_start(started):
    it = started("echo new")
    eventually(lambda: _(not it.running))
    with it.log.open("r+b") as log:
        log.truncate(process._LONGEST_LOG_BYTES + 1)
    it.start()
    eventually(lambda: _(not it.running))
    assert it.log.read_text() == "new\n"
    assert it.log.with_name("it.log.1").exists()


def _(truth):
    assert truth
