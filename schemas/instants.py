"""Times as events have them, and as Avro writes them (timestamp-millis).

fastavro converts them too, at 3 µs each: as much as all else that it does for a small event.
"""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def milliseconds(at: datetime) -> int:
    """Since 1970-01-01 UTC, the rest cut off. Raises TypeError for a time without a zone."""
    return (at - _EPOCH) // _MILLISECOND


def instant(since_1970: int) -> datetime:
    """The time, in UTC, of so many milliseconds since 1970. Raises OverflowError outside the years 1 to 9999."""
    return _EPOCH + since_1970 * _MILLISECOND
