"""ClickHouse's own pages in a real browser: they must work though every request with an Origin header is refused."""

import base64
import secrets

import clickhouse_connect
import pytest

from tests.support.browser import chromium

pytestmark = pytest.mark.browser


@pytest.fixture
def dashboards(clickhouse):
    """The name of a table in the shape of system.dashboards, with one chart over an hour."""
    database = f"t{secrets.token_hex(4)}"
    chart = (
        f"SELECT toStartOfInterval(at, INTERVAL {{rounding:UInt32}} SECOND)::INT AS t, avg(v) FROM {database}.values"
        " WHERE at >= now() - {seconds:UInt32} GROUP BY t ORDER BY t"
    )
    with clickhouse_connect.get_client(dsn=clickhouse.url) as db:
        db.command(f"CREATE DATABASE {database}")
        db.command(f"CREATE TABLE {database}.values (at DateTime, v UInt64) ENGINE = MergeTree ORDER BY at")
        db.command(f"INSERT INTO {database}.values SELECT now() - number, number FROM numbers(3600)")
        db.command(f"CREATE TABLE {database}.dashboards (dashboard String, title String, query String) ENGINE = Log")
        db.insert(f"{database}.dashboards", [["mine", "Values", chart]], column_names=["dashboard", "title", "query"])
        yield f"{database}.dashboards"
        db.command(f"DROP DATABASE {database}")


@pytest.fixture
def page():
    with chromium() as browser:
        page = browser.new_page()
        page.asked = []
        page.on("request", lambda asked: page.asked.append(asked))  # noqa: PLW0108 (it refuses methods of built-in types)
        yield page


def outside(page, url):
    return [asked.url for asked in page.asked if not asked.url.startswith((url, "data:"))]


def test_the_dashboard_draws_the_charts_of_any_table_of_its_shape(clickhouse, dashboards, page):
    page.goto(f"{clickhouse.url}/dashboard?from={dashboards}")
    page.wait_for_selector(".u-over", state="attached")
    assert page.locator("canvas").count() == 1
    assert "Values" in page.inner_text("#charts")
    assert {asked.method for asked in page.asked} == {"GET"}
    assert outside(page, clickhouse.url) == []


def test_play_shows_what_a_query_gives_and_loads_nothing_from_outside(clickhouse, page):
    query = base64.b64encode(b"SELECT 'it ' || 'works'").decode()
    page.goto(f"{clickhouse.url}/play#{query}")
    page.keyboard.press("Control+Enter")
    page.get_by_text("it works").first.wait_for()
    assert outside(page, clickhouse.url) == []


def test_another_page_in_the_browser_cannot_send_sql(clickhouse, page):
    """Only this server's own pages can: here another origin tries a POST and a plain GET."""
    page.route("http://elsewhere.example/", lambda route: route.fulfill(body="<html></html>", content_type="text/html"))
    page.goto("http://elsewhere.example/")
    database = f"t{secrets.token_hex(4)}"
    page.evaluate(
        """async ([url, sql]) => {
            await fetch(url, {method: "POST", mode: "no-cors", body: sql}).catch(() => {});
            await fetch(url + "/?query=SELECT+1", {mode: "no-cors"}).catch(() => {});
        }""",
        [clickhouse.url, f"CREATE DATABASE {database}"],
    )
    with clickhouse_connect.get_client(dsn=clickhouse.url) as db:
        assert db.query(
            "SELECT count() FROM system.databases WHERE name = {n:String}", parameters={"n": database}
        ).first_row == (0,)
