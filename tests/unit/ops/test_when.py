from datetime import UTC, datetime, timedelta

import pytest
import typer

from ops.cli.when import when
from tests.support.builders import NOON

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90s", NOON - timedelta(seconds=90)),
        ("30m", NOON - timedelta(minutes=30)),
        ("2h", NOON - timedelta(hours=2)),
        ("7d", NOON - timedelta(days=7)),
        ("1w", NOON - timedelta(days=7)),
        ("2026-02-01", datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-02-01T12:30", datetime(2026, 2, 1, 12, 30, tzinfo=UTC)),
        ("2026-02-01T12:30+02:00", datetime(2026, 2, 1, 10, 30, tzinfo=UTC)),
        ("2026-02-01T12:30Z", datetime(2026, 2, 1, 12, 30, tzinfo=UTC)),
    ],
)
def test_how_long_ago_or_when(text, at):
    found = when(text, NOON, "--since")
    assert (found, found.tzinfo) == (at, UTC)


@pytest.mark.parametrize("text", ["yesterday", "2", "h", "-2h", "9999999999d", "99999999999999999999w", "2026-13-01"])
def test_nonsense_names_the_option(text):
    with pytest.raises(typer.BadParameter, match="how long ago") as raised:
        when(text, NOON, "--since")
    assert raised.value.param_hint == "--since"
