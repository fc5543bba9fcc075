"""No web page may send SQL, whatever its browser puts into the request."""

import pytest

from ops.stack.clickhouse_http.guard import refusal

pytestmark = pytest.mark.unit

HERE = {"Host": "127.0.0.1:8123"}


@pytest.mark.parametrize("host", ["127.0.0.1:8123", "localhost:8123", "LOCALHOST", "[::1]:8123"])
def test_this_machines_programs_may_ask(host):
    assert refusal({"Host": host}, asks=True) is None


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:8123", "http://localhost:8123", ""]
)
@pytest.mark.parametrize("asks", [True, False])
def test_any_origin_header_is_refused_even_our_own(origin, asks):
    assert "Origin" in refusal({**HERE, "Origin": origin}, asks=asks)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8123", "localhost@evil.example", "0.0.0.0:8123", "", "[x"]
)
def test_a_name_that_was_made_to_lead_here_is_refused(host):
    assert "say 127.0.0.1 or localhost" in refusal({"Host": host}, asks=False)


def test_a_request_without_a_host_is_refused():
    assert refusal({}, asks=True)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_pages_image_or_link_may_not_ask(site):
    assert refusal({**HERE, "Sec-Fetch-Site": site}, asks=True)


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_page_and_the_address_bar_may(site):
    assert refusal({**HERE, "Sec-Fetch-Site": site}, asks=True) is None


def test_a_link_to_a_page_without_sql_works():
    assert refusal({**HERE, "Sec-Fetch-Site": "cross-site"}, asks=False) is None
