"""What an HTTP status other than success says of an object, or of the store that has it."""

from datetime import timedelta
from http import HTTPStatus

from agents.photo.store import Refuses
from schemas.errors import Reason, Rejected, SafelightError, Unavailable

_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


def refused(root: str, status: int, *, retry_after: timedelta | None = None) -> SafelightError:
    """The error to raise: Rejected for what only the object can be blamed for, Refuses where either may be, else Unavailable."""
    if status in _GONE:
        return Rejected(Reason.OBJECT_MISSING, "there is no object at object_uri")
    if status == HTTPStatus.REQUEST_URI_TOO_LONG:
        return Rejected(Reason.OBJECT_NOT_ALLOWED, "object_uri is longer than its store allows")
    if status == HTTPStatus.FORBIDDEN:
        return Refuses(root, "it refuses to be read: grant safelight the right to read there")
    if 400 <= status < 500 and status not in _PASSING:
        return Refuses(root, f"HTTP {status}")
    return Unavailable(root, f"HTTP {status}", retry_after)
