"""The commands as a newcomer types them, each in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
FIGURES = {
    "published",
    "admitted",
    "exact_duplicates",
    "near_duplicates",
    "enriched",
    "dead_letters",
    "rows",
    "elapsed_seconds",
    "photos_per_second",
    "e2e_p50_seconds",
    "e2e_p99_seconds",
    "dashboard_url",
}
FREE_PORTS = ("--page-port", "0", "--clickhouse-port", "0")


def safelight(*arguments, data, **more):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAFELIGHT_")}
    environment |= {"SAFELIGHT_DATA": str(data), **cache()}
    command = [sys.executable, "-m", "ops", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more
    )


def cache():
    return {name: os.environ[name] for name in ("SAFELIGHT_CACHE",) if name in os.environ}


def ended(process, code=0):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


@contextmanager
def up(data):
    """A stack in a process of its own, and what it has printed when everything is up."""
    process = safelight("up", *FREE_PORTS, data=data)
    try:
        eventually(lambda: assert_told(data), within=120)
        yield process
    finally:
        process.kill()
        process.communicate()


def assert_told(data):
    told = subprocess.run(
        [sys.executable, "-m", "ops", "status", "--json"],
        cwd=ROOT,
        env=os.environ | {"SAFELIGHT_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    view = json.loads(told.stdout)
    assert {server["name"] for server in view["servers"]} >= {"kafka", "store", "page"}
    return view


def descendants(process):
    return [(child.pid, child.create_time()) for child in psutil.Process(process.pid).children(recursive=True)]


def alive(processes):
    """Of these, those that live; a process id may be another's by now."""
    found = []
    for pid, created in processes:
        try:
            process = psutil.Process(pid)
            if process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.cmdline())
        except psutil.NoSuchProcess:
            continue
    return found


def test_the_demo_tells_the_same_story_twice_and_keeps_the_first(tmp_path):
    data, first, second = tmp_path / "data", tmp_path / "first.json", tmp_path / "second.json"
    output = ended(safelight("demo", "--once", "--json", str(first), *FREE_PORTS, data=data))
    assert "espresso" in output
    assert "damaged_photo" in output
    ended(safelight("demo", "--once", "--json", str(second), *FREE_PORTS, data=data))
    figures, again = (json.loads(path.read_text()) for path in (first, second))
    assert set(figures) == FIGURES
    counts = ("published", "admitted", "exact_duplicates", "near_duplicates", "enriched", "dead_letters", "rows")
    assert {name: figures[name] for name in counts} == {
        "published": 11,
        "admitted": 11,
        "exact_duplicates": 1,
        "near_duplicates": 0,
        "enriched": 8,
        "dead_letters": 3,
        "rows": 8,
    }
    assert {name: again[name] for name in counts} == {name: figures[name] for name in counts}
    assert 0 < figures["e2e_p50_seconds"] <= figures["e2e_p99_seconds"] <= figures["elapsed_seconds"] + 1


def test_publish_finds_the_running_stack_and_sums_up(tmp_path):
    data, folder = tmp_path / "data", tmp_path / "phone"
    folder.mkdir()
    (folder / "IMG_1.jpg").write_bytes((ROOT / "ops/samples/coffee.jpg").read_bytes())
    (folder / "IMG_1.MOV").write_bytes(b"a film")
    with up(data) as process:
        told = ended(safelight("publish", str(folder), "--owner", "ada", data=data))
        assert "1 photos published" in told
        assert "1 .mov" in told
        children = descendants(process)
        process.send_signal(signal.SIGINT)
        output = ended(process)
    assert "nothing is left running" in output
    assert alive(children) == []


def test_a_second_stack_in_the_same_folder_is_refused_in_one_line(tmp_path):
    data = tmp_path / "data"
    with up(data):
        told = ended(safelight("up", data=data), code=1)
    assert "a stack already runs in" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("status",), "no stack runs in"),
        (("publish", "."), "no object root to upload to"),
        (("demo", "--photos", "nowhere"), "does not exist"),
    ],
)
def test_what_cannot_work_says_what_to_do_in_one_line(tmp_path, arguments, says):
    told = ended(safelight(*arguments, data=tmp_path / "data"), code=1)
    assert says in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "up",
        "publish",
        "worker",
        "status",
        "topics",
        "migrate",
        "offsets",
        "deadletters list",
        "deadletters show",
        "deadletters redrive",
    ],
)
def test_every_command_has_help_with_an_example(tmp_path, command):
    told = ended(safelight(*command.split(), "--help", data=tmp_path))
    assert "Example" in told


def test_a_wrong_setting_names_its_variable(tmp_path):
    environment = os.environ | {"SAFELIGHT_PARTITIONS": "many", "SAFELIGHT_DATA": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "ops", "status"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "SAFELIGHT_PARTITIONS" in done.stderr
