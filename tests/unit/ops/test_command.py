"""A program of the stack by its command line."""

import sys
from datetime import timedelta

import pytest

from ops.stack.command import Command
from ops.stack.process import StackError
from tests.support.eventually import eventually

pytestmark = pytest.mark.unit

WAITS = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_it_is_healthy_once_it_says_so(tmp_path):
    flag = tmp_path / "ready"
    code = f"import pathlib, time; pathlib.Path({str(flag)!r}).touch(); time.sleep(600)"
    command = Command("worker", [sys.executable, "-c", code], log=tmp_path / "log", ready=flag.exists)
    command.start()
    try:
        assert command.healthy()
        flag.unlink()
        assert command.running()
        assert not command.healthy()
    finally:
        command.stop()
    assert not command.running()


def test_one_that_cannot_be_asked_is_healthy_while_it_lives(tmp_path):
    command = Command("worker", WAITS, log=tmp_path / "log")
    command.start()
    assert command.healthy()
    command.stop()
    assert not command.healthy()
    assert command.returncode is not None


def test_one_that_ends_at_once_says_its_last_word(tmp_path):
    argv = [sys.executable, "-c", "raise SystemExit('no such topic: run safelight topics')"]
    with pytest.raises(StackError, match="exit code 1 before it served: no such topic: run safelight topics"):
        Command("worker", argv, log=tmp_path / "log", ready=lambda: False).start()


def test_one_that_is_never_ready_is_given_up(tmp_path):
    command = Command("worker", WAITS, log=tmp_path / "log", ready=lambda: False, start_within=timedelta(seconds=0.2))
    with pytest.raises(StackError, match="worker does not serve"):
        command.start()
    assert not command.running()


def test_its_environment_is_added_to_ours(tmp_path):
    out = tmp_path / "log"
    argv = [sys.executable, "-c", "import os; print(os.environ['SAFELIGHT_NAMESPACE'], 'PATH' in os.environ)"]
    command = Command("worker", argv, log=out, env={"SAFELIGHT_NAMESPACE": "blue"})
    command.start()
    eventually(lambda: expect("blue True", out))
    command.stop()


def expect(text, log):
    assert text in log.read_text()
