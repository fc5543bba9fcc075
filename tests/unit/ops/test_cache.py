"""The cache: whole entries only, whatever interrupts, and one fill however many ask."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ops.stack.cache import cache_dir, kept, locked_name
from tests.support.eventually import eventually

pytestmark = pytest.mark.unit

FILL_SLOWLY = """
import os, sys, time
from pathlib import Path
from ops.stack.cache import kept

def fill(folder):
    folder.mkdir()
    (folder / "half").touch()
    with open(os.environ["FILLS"], "a") as fills:
        fills.write("fill\\n")
    time.sleep(float(sys.argv[1]))
    (folder / "half").rename(folder / "whole")

print(kept("entry", fill))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFELIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FILLS", str(tmp_path / "fills"))
    return tmp_path / "cache"


def another_process(seconds):
    return subprocess.Popen(
        [sys.executable, "-c", FILL_SLOWLY, str(seconds)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )


def write(text):
    return lambda path: path.write_text(text)


def test_own_folder_comes_first(cache):
    assert cache_dir() == cache


def test_else_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SAFELIGHT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "safelight"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() == tmp_path / ".cache" / "safelight"


def test_an_entry_is_made_once(cache):
    assert kept("entry", write("first")) == cache / "entry"
    assert kept("entry", write("second")).read_text() == "first"


def test_a_failed_fill_leaves_nothing_and_the_next_starts_afresh(cache):
    def fail(folder):
        folder.mkdir()
        (folder / "half").touch()
        raise ConnectionError("away")

    with pytest.raises(ConnectionError):
        kept("entry", fail)
    assert [path.name for path in cache.iterdir()] == [".entry.lock"]
    assert kept("entry", write("whole")).read_text() == "whole"


def test_a_killed_fill_leaves_nothing_that_counts(cache):
    with another_process(60) as process:
        eventually(lambda: _((cache / ".entry.part" / "half").exists()))
        process.send_signal(signal.SIGKILL)
    assert not (cache / "entry").exists()
    assert kept("entry", write("whole")).read_text() == "whole"


def test_two_at_once_fill_once(cache):
    with another_process(0.5) as one, another_process(0.5) as other:
        assert {one.communicate()[0], other.communicate()[0]} == {f"{cache / 'entry'}\n"}
    assert Path(os.environ["FILLS"]).read_text() == "fill\n"
    assert (cache / "entry" / "whole").exists()


def test_other_pins_are_another_entry(tmp_path):
    lock = tmp_path / "a.lock"
    lock.write_text("one 1")
    before = locked_name("a", lock)
    lock.write_text("one 2")
    assert locked_name("a", lock) != before


def _(truth):
    assert truth
