"""The rules of the house: types, lint, which way imports point, and what a public repository must not say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
TOP_LEVEL = {
    "pyproject.toml",
    "streams",
    "agents",
    "schemas",
    "sinks",
    "ops",
    "tests",
    "README.md",
    "Makefile",
    "LICENSE",
}


def run(*command):
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def tracked(*patterns):
    listing = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listing.stdout.splitlines()]


def test_lint():
    run("ruff", "check", "--quiet", ".")


def test_format():
    run("ruff", "format", "--check", "--quiet", ".")


@pytest.mark.timeout(600)
def test_types():
    run("mypy", "--strict")


def test_imports_point_one_way():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_top_level_is_fixed():
    names = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_locks_name_no_host():
    for lock in tracked("*.lock", "ops/lock*.txt"):
        assert "://" not in lock.read_text(), lock


def test_no_path_of_somebodys_machine():
    pattern = re.compile(r"[\"'` =](/root/|/home/|/Users/|/work/)")
    text = [path for path in tracked("*.py", "*.md", "*.toml", "*.sql", "Makefile") if path != Path(__file__)]
    assert [path for path in text if pattern.search(path.read_text())] == []


def test_every_package_is_typed():
    assert all((ROOT / package / "py.typed").exists() for package in ("schemas", "streams", "agents", "sinks", "ops"))
