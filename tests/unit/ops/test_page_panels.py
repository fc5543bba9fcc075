import asyncio

import pytest

from ops.page.panels import READ_ONLY, SPANS, Panels
from schemas.errors import Unavailable
from tests.support.answers import Answers

pytestmark = pytest.mark.unit

SQL = {"lag": "SELECT {seconds:UInt32}", "totals": "SELECT 1"}


async def test_a_panel_is_asked_with_its_span_and_the_width_of_a_point():
    clickhouse = Answers()
    answer = await Panels(clickhouse, SQL).answer("lag", 3600)
    assert answer.rows == [[1]]
    assert clickhouse.asked == [(SQL["lag"], {"seconds": 3600, "rounding": 60})]


async def test_many_open_pages_cost_no_more_than_one():
    clickhouse = Answers()
    panels = Panels(clickhouse, SQL)
    await asyncio.gather(*(panels.answer("lag", 300) for _ in range(100)))
    assert len(clickhouse.asked) == 1


@pytest.mark.parametrize(("name", "seconds"), [("passwords", 300), ("lag", 301), ("", 300)])
async def test_what_is_no_panel_or_no_span_costs_nothing(name, seconds):
    clickhouse = Answers()
    with pytest.raises(KeyError):
        await Panels(clickhouse, SQL).answer(name, seconds)
    assert clickhouse.asked == []


async def test_an_outage_is_passed_on():
    clickhouse = Answers()
    clickhouse.error = Unavailable("clickhouse", "no answer")
    with pytest.raises(Unavailable):
        await Panels(clickhouse, SQL).answer("lag", 300)


def test_a_chart_has_a_few_hundred_points_at_most():
    assert all(seconds / rounding <= 300 for seconds, rounding in SPANS.items())


def test_queries_change_nothing_and_end_soon():
    assert READ_ONLY["readonly"] == 1
    assert READ_ONLY["max_execution_time"] <= 5
    assert READ_ONLY["max_result_rows"] <= 20_000
