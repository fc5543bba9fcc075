"""The downloads: progress for who looks, and one line for who has no connection."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from ops.stack.downloads import _item

pytestmark = pytest.mark.unit


def test_without_a_connection_one_line_says_what_to_check_and_nothing_counts_as_whole(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    done = subprocess.run(
        [sys.executable, "-m", "ops.stack.downloads"],
        cwd=Path(__file__).parents[3],
        env={**environment, "SAFELIGHT_CACHE": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("safelight: cannot fetch ")
    assert "check the connection, HTTPS_PROXY" in line
    assert [path for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_off_a_terminal_each_item_is_one_plain_line():
    out = io.StringIO()
    with _item(Console(file=out), "Jars", 3) as advance:
        advance()
    assert out.getvalue() == "Jars …\n"


def test_on_a_terminal_a_bar_counts_and_ends_full():
    out = io.StringIO()
    with _item(Console(file=out, force_terminal=True, width=100), "Jars", 3) as advance:
        advance()
    assert "Jars" in out.getvalue()
    assert "3/3" in out.getvalue()
