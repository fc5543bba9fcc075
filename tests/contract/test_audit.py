"""The table of what operators changed, on ClickHouse's engine."""

from datetime import UTC, datetime, timedelta

import pytest

from sinks.clickhouse import audit
from sinks.clickhouse.audit import Ending, Run

pytestmark = pytest.mark.contract

NOW = datetime.now(UTC).replace(microsecond=0)
RUN = Run(
    command="deadletters redrive", arguments={"reason": "a, b"}, actor="ada@host", version="0.1.0", started_at=NOW
)


def rows(client):
    return client.query(
        "SELECT run, command, arguments, actor, version, started_at, ended_at, ending, counts FROM audit FINAL"
    ).result_rows


def test_a_run_that_was_killed_has_begun_and_not_ended(client):
    audit.begin(client, RUN)
    assert rows(client) == [(RUN.id, "deadletters redrive", {"reason": "a, b"}, "ada@host", "0.1.0", NOW, None, "", {})]


def test_one_that_ended_is_one_row_and_says_how(client):
    audit.begin(client, RUN)
    later = NOW + timedelta(seconds=5)
    audit.end(client, RUN, later, Ending.INTERRUPTED, {"sent": 3, "skipped_gone": 1})
    [(run, *_, ended_at, ending, counts)] = rows(client)
    assert (run, ended_at, ending, counts) == (RUN.id, later, "interrupted", {"sent": 3, "skipped_gone": 1})
