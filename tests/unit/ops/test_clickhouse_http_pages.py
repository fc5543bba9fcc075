"""ClickHouse's own pages, taken out of the engine's library."""

import pytest

from ops.stack.clickhouse_http.pages import page

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("name", "title"), [("dashboard", b"ClickHouse Dashboard"), ("play", b"ClickHouse Query")])
def test_a_page_is_whole(name, title):
    text = page(name)
    assert text.startswith(b"<!DOCTYPE html>")
    assert text.rstrip().endswith(b"</html>")
    assert b"<title>" + title + b"</title>" in text


@pytest.mark.parametrize("name", ["dashboard", "play"])
def test_a_page_loads_nothing_from_outside(name):
    assert b"cdn.jsdelivr.net/npm/uplot" not in page(name).replace(b"Source: https://cdn.jsdelivr.net/npm/uplot", b"")
    assert b'src="https://' not in page(name)


@pytest.mark.parametrize("name", ["dashboard", "play"])
def test_a_page_asks_by_get_before_any_script_of_its_own_runs(name):
    text = page(name)
    assert text.index(b'method: "GET"') < text.index(b"<title>")


@pytest.mark.parametrize(
    ("name", "begin"),
    [("js/uplot.js", b"/*! https://github.com/leeoniya/uPlot"), ("js/lz-string.js", b"var LZString=")],
)
def test_its_scripts_lie_beside_it(name, begin):
    assert page(name).startswith(begin)
    assert len(page(name)) > 4000


@pytest.mark.parametrize("name", ["", "js/other.js", "../engine.xml"])
def test_there_is_no_other(name):
    assert page(name) is None
