"""Times as an operator types them."""

import re
from datetime import UTC, datetime, timedelta

import typer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(rf"(\d+)([{''.join(_UNITS)}])")


def when(text: str, now: datetime, option: str) -> datetime:
    """ISO 8601, in UTC unless it says otherwise, or how long before `now`: 90s, 30m, 2h, 7d, 1w. Raises BadParameter."""
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            "say how long ago (2h, 7d), or when (2026-03-01, 2026-03-01T12:00)", param_hint=option
        ) from error
