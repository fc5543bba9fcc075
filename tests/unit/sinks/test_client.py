"""Connections: what a URL means, and nobody there."""

import pytest

from ops.stack.ports import free_port
from schemas.errors import Unavailable
from sinks.clickhouse.client import _arguments as arguments
from sinks.clickhouse.client import connect, connect_async

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8123", ("http", "127.0.0.1", 8123, "")),
        ("https://clickhouse.example", ("https", "clickhouse.example", None, "")),
        ("https://proxy.example:8443/clickhouse", ("https", "proxy.example", 8443, "/clickhouse")),
        ("http://[::1]:8123/", ("http", "::1", 8123, "/")),
    ],
)
def test_a_url_says_where(url, expected):
    found = arguments(url, "user", "password", "database")
    assert (found["interface"], found["host"], found["port"], found["proxy_path"]) == expected


async def test_nobody_there_is_unavailable_and_names_the_setting():
    where = {"url": f"http://127.0.0.1:{free_port()}", "user": "default", "password": "secret"}
    with pytest.raises(Unavailable, match="SAFELIGHT_CLICKHOUSE_URL") as refusal:
        connect(**where)
    assert "secret" not in str(refusal.value)
    with pytest.raises(Unavailable, match="SAFELIGHT_CLICKHOUSE_URL"):
        await connect_async(**where, database="safelight")
