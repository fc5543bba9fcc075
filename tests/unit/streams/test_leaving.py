"""A process that does not come to its end by itself: these end one each."""

import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.unit

PROGRAM = """
import logging, sys, time
from datetime import timedelta
from streams.leaving import Deadline
logging.basicConfig(level=logging.INFO, format="%(message)s")
deadline = Deadline("enrich", timedelta(seconds=1))
{}
time.sleep(60)
"""


def run(body):
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body)], capture_output=True, text=True, timeout=30, check=False
    )
    assert time.monotonic() - began < 20
    return done.returncode, done.stderr.splitlines()


def test_a_process_that_hangs_is_over_in_time_and_says_so():
    code, [line] = run("deadline.begin()")
    assert code == 1
    assert line == "enrich ends: half a session (0.5 s) was not enough to end in order"


def test_it_says_what_it_hangs_for_if_that_is_known_and_only_the_first_reason():
    code, lines = run("deadline.begin('photos.events-1 makes no progress'); deadline.begin('later')")
    assert (code, lines) == (1, ["enrich ends: photos.events-1 makes no progress"])


def test_after_an_end_in_order_only_the_code_counts():
    assert run("deadline.begin(); deadline.ends('')") == (0, [])
    assert run("deadline.begin(); deadline.ends('no broker')") == (1, ["enrich ends: no broker"])


def test_within_half_a_session_there_is_time_for_everything_in_its_order():
    from datetime import timedelta

    from streams.leaving import Deadline, batches_seconds, threads_seconds

    deadline = Deadline("enrich", timedelta(seconds=10))
    before = batches_seconds(10) + threads_seconds(10)
    assert before < deadline.in_order_seconds
    assert deadline.in_order_seconds + deadline.last_seconds < 10 / 2
