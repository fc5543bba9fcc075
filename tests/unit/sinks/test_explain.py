"""ClickHouse's errors: who is to blame decides what is done."""

import pytest
from clickhouse_connect.driver import exceptions as driver

from schemas.errors import Refused, StrangeWorld, Unavailable
from sinks.clickhouse import explain as module
from sinks.clickhouse.explain import explain

pytestmark = pytest.mark.unit

KNOWN = {**module._ROWS, **module._MISSING, **module._FORBIDDEN, **module._BUSY}


def explained(code, name=None, text="Code: 1. DB::Exception: the photo of somebody"):
    return explain(driver.DatabaseError(text, code=code, name=name), "photo_enrichments")


@pytest.mark.parametrize("code", sorted(module._ROWS))
def test_codes_that_blame_rows_are_refused_naming_the_table(code):
    error = explained(code)
    assert isinstance(error, Refused)
    assert error.table == "photo_enrichments"
    assert str(code) in error.detail


@pytest.mark.parametrize("code", sorted(module._MISSING))
def test_what_is_missing_drains_no_topic_and_names_the_command(code):
    error = explained(code)
    assert isinstance(error, StrangeWorld)
    assert "safelight migrate" in str(error)


@pytest.mark.parametrize("code", sorted(module._FORBIDDEN))
def test_what_is_forbidden_drains_no_topic_and_names_the_settings(code):
    error = explained(code)
    assert isinstance(error, StrangeWorld)
    assert "SAFELIGHT_CLICKHOUSE_USER" in str(error)


@pytest.mark.parametrize("code", sorted(module._BUSY))
def test_a_clickhouse_in_trouble_is_waited_out(code):
    error = explained(code)
    assert isinstance(error, Unavailable)
    assert KNOWN[code] in error.detail


def test_every_other_code_is_waited_out():
    for code in set(range(1, 1003)) - set(KNOWN):
        assert isinstance(explained(code, "SOME_NAME"), Unavailable)


def test_an_unknown_code_is_named_as_clickhouse_names_it():
    assert explained(49, "LOGICAL_ERROR").detail == "LOGICAL_ERROR, code 49"
    assert explained(49).detail == "code 49"


def test_no_code_is_in_two_groups():
    groups = (module._ROWS, module._MISSING, module._FORBIDDEN, module._BUSY)
    assert len(KNOWN) == sum(len(group) for group in groups)


@pytest.mark.parametrize(
    "error",
    [
        driver.OperationalError("Network Error: Cannot connect to host"),
        driver.StreamFailureError("Stream ended unexpectedly (connection closed by server)"),
        driver.DatabaseError("HTTP driver received HTTP status 502, server response: Bad Gateway (for url http://…)"),
    ],
    ids=["refused connection", "broken answer", "a proxy's error"],
)
def test_no_answer_from_clickhouse_is_waited_out(error):
    assert isinstance(explain(error, "metrics"), Unavailable)


@pytest.mark.parametrize(
    "error", [driver.ProgrammingError("session closed"), driver.Warning("odd")], ids=["misuse", "warning"]
)
def test_misuse_of_the_driver_is_a_bug_and_stays_what_it_is(error):
    assert explain(error, "metrics") is error


@pytest.mark.parametrize("code", [*sorted(KNOWN), 49])
def test_clickhouses_own_text_is_not_repeated(code):
    assert "somebody" not in str(explained(code, "SOME_NAME"))
