"""What cannot run here is told in one line, at once, with what to do instead."""

import ast
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops import preflight
from ops.preflight import Download, Facts, missing, too_full, unfit
from ops.stack import cache
from ops.stack.cache import locked_name

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
FIT = Facts("Linux", "x86_64", (2, 36), (3, 11), "CPython", free_threaded=False, missing_modules=[])


@pytest.mark.parametrize("python", [(3, 11), (3, 12), (3, 13), (3, 14)])
def test_linux_with_a_current_python_is_fit(python):
    assert unfit(FIT._replace(python=python)) is None


def test_the_machine_that_runs_this_is_fit():
    assert unfit(preflight.facts()) is None


@pytest.mark.parametrize(
    ("facts", "wrong", "instead"),
    [
        ({"system": "Darwin", "machine": "arm64"}, "Darwin arm64", "Linux x86-64 machine or virtual machine"),
        ({"machine": "aarch64"}, "Linux aarch64", "Linux x86-64 machine or virtual machine"),
        ({"glibc": (2, 31)}, "glibc 2.31", "Debian 12, Ubuntu 22.04"),
        ({"glibc": ()}, "another C library", "Debian 12, Ubuntu 22.04"),
        ({"python": (3, 10)}, "CPython 3.10", "make PYTHON=python3.12"),
        ({"python": (3, 15)}, "CPython 3.15", "make PYTHON=python3.12"),
        ({"implementation": "PyPy"}, "PyPy 3.11", "make PYTHON=python3.12"),
        ({"python": (3, 14), "free_threaded": True}, "free-threaded CPython 3.14", "make PYTHON=python3.12"),
        ({"missing_modules": ["ensurepip"]}, "lacks ensurepip", "apt install python3-venv"),
    ],
)
def test_what_is_wrong_and_what_to_do_is_one_line(facts, wrong, instead):
    told = unfit(FIT._replace(**facts))
    assert wrong in told
    assert instead in told
    assert "\n" not in told


def test_an_old_python_can_read_it():
    ast.parse(Path(preflight.__file__).read_text(), feature_version=(3, 6))


def unfit_machine(*command, **options):
    """The command on a machine that says it is of 32 bits."""
    begin = time.monotonic()
    done = subprocess.run(["setarch", "i686", *command], capture_output=True, text=True, check=False, **options)
    return done, time.monotonic() - begin


def test_an_unfit_machine_is_told_within_two_seconds():
    done, seconds = unfit_machine(sys.executable, preflight.__file__)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("safelight: runs on Linux x86-64, and this is Linux i686: ")
    assert seconds < 2


@pytest.mark.parametrize("target", ["demo", "up", "test", "setup"])
def test_make_says_so_before_it_does_anything(tmp_path, target):
    for path in ["Makefile", "pyproject.toml", "ops/preflight.py", "ops/lock.txt", "ops/lock-dev.txt"]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    shutil.copytree(ROOT / "ops" / "stack", tmp_path / "ops" / "stack")
    before = {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts}
    environment = {**os.environ, "SAFELIGHT_CACHE": str(tmp_path / "cache")}
    done, seconds = unfit_machine("make", f"PYTHON={sys.executable}", target, cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("safelight: runs on Linux x86-64, and this is Linux i686: ")
    assert seconds < 2
    assert {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts} == before


def test_only_what_is_not_there_counts(tmp_path):
    venv, kept = tmp_path / "venv", tmp_path / "cache"
    everything = missing(kept, venv)
    assert [each.what.split(",")[0] for each in everything] == ["Python packages", "Triton", "Apache Kafka"]
    assert all(each.wire > 0 for each in everything)
    stack = ROOT / "ops" / "stack"
    (kept / locked_name("kafka", stack / "kafka.lock")).mkdir(parents=True)
    (kept / locked_name("triton", stack / "triton.lock", stack / "triton-python.lock")).mkdir()
    assert missing(kept, venv) == everything[:1]
    venv.mkdir()
    (venv / ".safelight").touch()
    assert missing(kept, venv) == []
    assert [each.what for each in missing(kept, venv, test=True)] == ["Python packages of the tests"]


def test_its_cache_folder_is_the_stacks(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for own, xdg in [("", ""), ("", "/xdg"), ("", "relative"), ("~/mine", "/xdg"), ("mine", "")]:
        monkeypatch.setenv("SAFELIGHT_CACHE", own)
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
        assert preflight.cache_dir() == cache.cache_dir()


def test_a_full_disk_is_told_with_what_is_needed(tmp_path):
    assert too_full([Download("a", 1, 0, tmp_path / "not" / "there")]) is None
    told = too_full([Download("a", 1, 10**9, tmp_path), Download("b", 1, 10**9, tmp_path)])
    assert f"{2 * 10**9} MB are needed in {tmp_path}" in told
    assert "SAFELIGHT_CACHE" in told
