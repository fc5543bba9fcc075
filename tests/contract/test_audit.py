"""The table of what operators changed, on ClickHouse's engine."""

from datetime import UTC, datetime, timedelta

import pytest

from ops.audit import audited
from schemas.errors import StrangeWorld, Unavailable
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


def run(client, error=None):
    counts = {"sent": 0}
    with audited(client, "deadletters redrive", {"limit": "3"}, lambda: counts):
        [(*_, began, ending, _)] = rows(client)
        assert (began, ending) == (None, "")  # before anything is changed
        counts["sent"] = 2
        if error:
            raise error


@pytest.mark.parametrize(
    ("error", "ending"),
    [(None, "done"), (Unavailable("Kafka", "gone"), "failed"), (KeyboardInterrupt(), "interrupted")],
)
def test_a_command_leaves_what_it_came_to_whatever_ends_it(client, error, ending):
    if error:
        with pytest.raises(type(error)):
            run(client, error)
    else:
        run(client)
    [(_, command, arguments, actor, *_, ended_at, ended, counts)] = rows(client)
    assert (command, arguments, ended, counts) == ("deadletters redrive", {"limit": "3"}, ending, {"sent": 2})
    assert "@" in actor
    assert ended_at is not None


def test_what_cannot_be_written_down_is_not_done(client):
    client.command("RENAME TABLE audit TO audit_away")
    done = []
    try:
        with pytest.raises(StrangeWorld, match="safelight migrate"), audited(client, "test", {}, dict):
            done.append(1)
    finally:
        client.command("RENAME TABLE audit_away TO audit")
    assert done == []
