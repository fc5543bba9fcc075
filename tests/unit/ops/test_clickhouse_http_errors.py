"""Errors keep ClickHouse's codes, names and HTTP statuses."""

import pytest

from ops.stack.clickhouse_http.errors import ClickHouseError

pytestmark = pytest.mark.unit


def test_the_engines_code_is_found_behind_what_wraps_it():
    error = ClickHouseError.from_engine(
        RuntimeError("Streaming query failed: Code: 60. DB::Exception: no. (UNKNOWN_TABLE)")
    )
    assert (error.code, str(error)) == (60, "Code: 60. DB::Exception: no. (UNKNOWN_TABLE)")


def test_what_has_no_code_is_an_unknown_exception():
    error = ClickHouseError.from_engine(RuntimeError("the engine is gone"))
    assert (error.code, error.status) == (1002, 500)
    assert str(error) == "Code: 1002. DB::Exception: the engine is gone. (UNKNOWN_EXCEPTION)"


@pytest.mark.parametrize(
    ("code", "status"),
    [(62, 400), (53, 400), (60, 404), (497, 403), (48, 501), (159, 408), (252, 500), (241, 500), (516, 403)],
)
def test_the_status_is_the_one_of_clickhouses_server(code, status):
    assert ClickHouseError(code, "").status == status
