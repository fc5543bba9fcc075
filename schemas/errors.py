"""Errors, named by what to do.

SafelightError
├── Rejected          this event is at fault: it becomes a PhotoRejected with its reason, and the rest goes on
│   └── Unreadable    nobody can decode it: it becomes a DeadLetter
├── Unavailable       a dependency is at fault: wait at the call and try again (agents/retry.py)
├── Refused           ClickHouse blames the rows: a bug or a schema that does not fit; the worker ends
├── StrangeWorld      the worker cannot vouch for what it finds: it does not start, and names the command to use
└── Stuck             a partition makes no progress, and waits for nothing: the worker ends

Anything else is a bug: the process ends and the batch is read again. The third time its records are tried one by one, and the
one that fails is rejected as an internal error (streams/tries.py).
"""

from datetime import timedelta
from enum import StrEnum


class Reason(StrEnum):
    """Why an event was rejected: a closed list. `advice` says what to do about it."""

    UNREADABLE_EVENT = "unreadable_event"
    INVALID_EVENT = "invalid_event"
    WRONG_PARTITION = "wrong_partition"
    EVENT_ID_REUSED = "event_id_reused"
    INVALID_REDRIVE = "invalid_redrive"
    OBJECT_NOT_ALLOWED = "object_not_allowed"
    OBJECT_MISSING = "object_missing"
    OBJECT_TOO_LARGE = "object_too_large"
    WRONG_SHA256 = "wrong_sha256"
    NOT_A_PHOTO = "not_a_photo"
    DAMAGED_PHOTO = "damaged_photo"
    NEVER_SEEN = "never_seen"
    INTERNAL_ERROR = "internal_error"

    @property
    def advice(self) -> str:
        """One sentence for whoever owns the event."""
        return _ADVICE[self]


_ADVICE = {
    Reason.UNREADABLE_EVENT: "Encode the event as schemas/avro/PhotoUploaded.avsc with its id from schemas/ids.json in Confluent wire format.",
    Reason.INVALID_EVENT: "Correct the field that the detail names and publish the event again with a new event_id.",
    Reason.WRONG_PARTITION: "Key the record with owner_id, use the murmur2 partitioner (librdkafka: partitioner=murmur2_random), and publish the event again.",
    Reason.EVENT_ID_REUSED: "Give every upload an event_id of its own; repeat one only for the same bytes.",
    Reason.INVALID_REDRIVE: "Leave the field redrive null: only `safelight deadletters redrive` sets it; upload a photo again with a new event_id.",
    Reason.OBJECT_NOT_ALLOWED: "Add the place to SAFELIGHT_OBJECT_ROOTS and redrive the photo, or upload it to one that is configured.",
    Reason.OBJECT_MISSING: "Put the object where object_uri says and redrive the photo; publish an event only after its object can be read.",
    Reason.OBJECT_TOO_LARGE: "Upload a smaller file, or raise SAFELIGHT_MAX_OBJECT_BYTES and redrive the photo.",
    Reason.WRONG_SHA256: "Compute content_sha256 over the very bytes stored at object_uri, and publish the photo with a new event_id.",
    Reason.NOT_A_PHOTO: "Upload a photo; the bytes are of no image format that safelight reads.",
    Reason.DAMAGED_PHOTO: "Upload the file again: it is cut short or damaged.",
    Reason.NEVER_SEEN: "What the detail names was away for as long as safelight waits: redrive the photo when it is back.",
    Reason.INTERNAL_ERROR: "A fault of safelight: report it, and redrive the photo after the fix.",
}


class SafelightError(Exception):
    """The root of all errors that safelight raises on purpose."""


class Rejected(SafelightError):  # noqa: N818 (named by what to do)
    """This event is at fault. `detail` says in plain words what was found."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Unreadable(Rejected):
    """Bytes that are no event of the kind expected."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.UNREADABLE_EVENT, detail)


class Unavailable(SafelightError):  # noqa: N818 (named by what to do)
    """A dependency is at fault; the event is not. `retry_after`: when it asked for patience."""

    def __init__(self, dependency: str, detail: str, retry_after: timedelta | None = None) -> None:
        super().__init__(f"{dependency} is unavailable: {detail}")
        self.dependency = dependency
        self.detail = detail
        self.retry_after = retry_after


class Refused(SafelightError):  # noqa: N818 (named by what to do)
    """ClickHouse blames the rows of one table."""

    def __init__(self, table: str, detail: str) -> None:
        super().__init__(f"ClickHouse refused rows for {table}: {detail}")
        self.table = table
        self.detail = detail


class StrangeWorld(SafelightError):  # noqa: N818 (named by what was found)
    """What a worker finds contradicts what it may assume; the message is one line with the command that helps."""


class Stuck(SafelightError):  # noqa: N818 (named by what was found)
    """A partition makes no progress, and waits for nothing; the message is one line that says where."""
