"""ops/docs/bench.md says what the reports say."""

import json

import pytest

from tests.bench.page import DOCS, REPORTS, page

pytestmark = pytest.mark.unit


def test_the_page_is_made_of_the_reports_that_are_committed():
    assert (DOCS / "bench.md").read_text() == page()


def test_every_report_is_on_the_page():
    assert {path.stem for path in (DOCS / "reports").glob("*.json")} <= set(REPORTS)


def test_what_was_not_measured_is_not_on_the_page(tmp_path):
    restored = {
        "entries": 1_000_000,
        "seconds": [2.0, 3.0, 4.0],
        "median_seconds": 3.0,
        "cpu_seconds": 2.5,
        "within_seconds": 5.0,
        "opened_again_seconds": 0.01,
        "store_bytes": 60_000_000,
    }
    (tmp_path / "restore.json").write_text(json.dumps(restored))
    made = page(tmp_path)
    assert "1,000,000 entries of a state, restored from the changelog into an empty store: **3.00 s**" in made
    assert made.count("\n## ") == 1
