"""What a URL, headers and a body ask."""

import pytest

from ops.stack.clickhouse_http.errors import ClickHouseError
from ops.stack.clickhouse_http.request import read

pytestmark = pytest.mark.unit


def test_parameters_settings_and_transport_are_told_apart():
    url = {
        "param_x": "1",
        "max_threads": "2",
        "session_id": "s",
        "database": "d",
        "query_id": "i",
        "enable_http_compression": "1",
    }
    request = read(url, {}, b"SELECT 1", writes=True)
    assert (request.query, request.body) == (b"", b"SELECT 1")
    assert request.parameters == {"x": "1"}
    assert request.settings == {"max_threads": "2"}
    assert (request.database, request.format, request.whole) == ("d", "TabSeparated", False)


def test_the_query_and_its_data_are_kept_apart():
    request = read({"query": "INSERT INTO t FORMAT TSV"}, {}, b"1\n", writes=True)
    assert (request.query, request.body) == (b"INSERT INTO t FORMAT TSV", b"1\n")


def test_database_and_format_may_come_as_headers():
    request = read({}, {"X-ClickHouse-Database": "d", "X-ClickHouse-Format": "JSON"}, b"", writes=True)
    assert (request.database, request.format) == ("d", "JSON")


@pytest.mark.parametrize(("given", "used"), [({}, "2"), ({"readonly": "0"}, "2"), ({"readonly": "1"}, "1")])
def test_a_get_may_not_write(given, used):
    assert read(given, {}, b"", writes=False).settings == {"readonly": used}


def test_a_post_is_as_free_as_it_says():
    assert read({}, {}, b"", writes=True).settings == {}
    assert read({"readonly": "1"}, {}, b"", writes=True).settings == {"readonly": "1"}


def test_an_answer_may_be_asked_for_whole():
    assert read({"wait_end_of_query": "1"}, {}, b"", writes=True).whole


@pytest.mark.parametrize("name", ["compress", "decompress"])
def test_clickhouses_own_block_compression_is_refused_and_not_misread(name):
    with pytest.raises(ClickHouseError, match="use Content-Encoding") as error:
        read({name: "1"}, {}, b"", writes=True)
    assert error.value.status == 501
