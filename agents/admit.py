"""admit, per owner: takes each uploaded photo once, refuses what is wrong with its event, drops repeats."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.batch import Batch, Output, Record, Result, State, Written, appended_at
from agents.bounds import check, check_attributable, within_bounds
from agents.measure import Measure
from agents.redrive import lineage, lineage_of_refused
from agents.rejection import rejection
from agents.remember import KeyedHash
from schemas import codec, metrics
from schemas.errors import Reason, Rejected, Unreadable
from schemas.events import DeadLetter, PhotoAdmitted, PhotoUploaded, Root
from schemas.extension import Extension, numbers
from schemas.partitioning import partition_of
from schemas.topics import ADMITTED, DEAD_LETTER, ENRICHED

_MOST_PAYLOAD_BYTES = 16 << 10
"""Of unreadable bytes that a DeadLetter carries."""

_AT_ONCE = 250
"""Records read and judged together: few enough that what was read is still in the processor's cache when it is judged."""

_REMEMBERED = struct.Struct(">q?16s")
"""What is known of an event id: when the broker got it (milliseconds since 1970), whether it was refused, a digest.

Of what was admitted, the digest is of the photo's content: whoever repeats it sends a repeat. Of what was refused, it is
of the whole record: the same again is a repeat, but a corrected event is looked at. The two are hashed apart, so none is
ever taken for the other.
"""


_ADMITTED = Extension(
    PhotoUploaded,
    PhotoAdmitted,
    *("root.generation", "root.partition", "root.offset", "attempt", "fill", "admitted_at"),
)
"""A PhotoAdmitted begins as its upload does, unless that is a redrive: its bytes are kept, since to write them again would be a
third of all the work."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What admit goes by.

    `generation` of photos.events, `partitions` that it has by contract, how long to `remember` event ids (by the broker's
    clock), the key of the hashes under which they are remembered, the `version` that writes.
    """

    generation: int
    partitions: int
    remember: timedelta
    hash_key: bytes
    version: str


async def admit(batch: Batch, state: State, *, rules: Rules, clock: Callable[[], datetime], measure: Measure) -> Result:
    """Each record becomes a PhotoAdmitted, a PhotoRejected, or a DeadLetter if nobody can attribute it; repeats nothing.

    A repeat is the same owner, event_id and content as an event that was admitted not longer than `rules.remember` ago.
    The same event_id with other content is refused, unless the first was refused too. What admit takes and enrich rejects is
    taken: another try is another upload, with an event_id of its own, or a redrive.

    A redrive is remembered by all that it names, apart from uploads: none can take its place beforehand.
    """
    admission = _Admission(batch.partition, rules, clock())
    for first in range(0, len(batch.records), _AT_ONCE):
        readings = [admission.read(record) for record in batch.records[first : first + _AT_ONCE]]
        known = iter(state.get_many([reading.key for reading in readings if isinstance(reading, _Reading)]))
        for reading in readings:
            if isinstance(reading, DeadLetter):
                admission.bury(reading)
            else:
                admission.judge(reading, next(known))
    admission.count(measure)
    return admission.result


@dataclass(slots=True)
class _Reading:
    """An event that can be attributed, its owner, where it was read, and the key under which its id is remembered."""

    event: PhotoUploaded
    owner: bytes
    record: Record
    key: bytes


class _Admission:
    """One batch's way through admit."""

    def __init__(self, partition: int, rules: Rules, now: datetime) -> None:
        self.result = Result()
        self._partition = partition
        self._rules = rules
        self._now = now
        self._remember_ms = rules.remember // timedelta(milliseconds=1)
        self._event_of = KeyedHash(rules.hash_key, b"admit event")
        self._redrive_of = KeyedHash(rules.hash_key, b"admit redrive")
        self._content_of = KeyedHash(rules.hash_key, b"admit content")
        self._record_of = KeyedHash(rules.hash_key, b"admit record")
        self._log = numbers(rules.generation, partition)
        self._first_look = numbers(0, 0, now)
        self._admitted = 0
        self._repeats = 0
        self._rejected: dict[str, int] = {}

    def read(self, record: Record) -> _Reading | DeadLetter:
        """The record decoded, or what becomes of it if that is impossible or nobody's."""
        try:
            if record.value is None:
                raise Unreadable("the record has no value")
            event = codec.decode(record.value, PhotoUploaded)
            check_attributable(event)
        except Rejected as why:
            value = record.value or b""
            return DeadLetter(
                root=self._root(record),
                reason=why.reason,
                detail=why.detail,
                payload=value[:_MOST_PAYLOAD_BYTES],
                payload_bytes=len(value),
                rejected_at=self._now,
                worker_version=self._rules.version,
            )
        owner = event.owner_id.encode()
        return _Reading(event, owner, record, self._key_of(event, owner))

    def judge(self, reading: _Reading, committed: bytes | None) -> None:
        """Admit the event, refuse it, or drop it as a repeat; what came before it in the batch counts as known."""
        event, record = reading.event, reading.record
        try:
            self._check_partition(reading.owner, record)
        except Rejected as misplaced:
            # Its owner is remembered elsewhere: it leaves no trace here.
            self._refuse(reading, misplaced)
            return

        content = self._content_of(event.content_sha256)
        at, refused, digest = self._recall(self.result.changes.get(reading.key, committed), record.timestamp)
        known = at is not None
        if digest == content:
            self._repeats += 1
            return
        try:
            check(event, appended_at(record))
            if event.redrive is not None:
                lineage(event, self._root(record))
        except Rejected as invalid:
            whole = self._record_of(record.value or b"")
            if digest == whole:
                self._repeats += 1
                return
            self._refuse(reading, invalid)
            if not known or refused:
                self._remember(reading, whole, refused=True)
            return
        if known and not refused:
            self._refuse(
                reading,
                Rejected(Reason.EVENT_ID_REUSED, "event_id was used before, for a photo with other content_sha256"),
            )
            return
        self._take(reading)
        self._remember(reading, content, refused=False)

    def bury(self, letter: DeadLetter) -> None:
        """Put it where bytes go that belong to nobody."""
        self.result.outputs.append(Output(DEAD_LETTER, str(self._partition).encode(), letter))
        self._count_rejected(letter.reason)

    def count(self, measure: Measure) -> None:
        """Say how the batch went."""
        if self._admitted:
            measure.count(metrics.ADMITTED, self._admitted)
        if self._repeats:
            measure.count(metrics.REPEATS, self._repeats)
        for reason, amount in self._rejected.items():
            measure.count(metrics.REJECTED, amount, reason=reason)

    def _root(self, record: Record) -> Root:
        return Root(self._rules.generation, self._partition, record.offset)

    def _key_of(self, event: PhotoUploaded, owner: bytes) -> bytes:
        if event.redrive is None:
            return self._event_of(owner, event.event_id.encode())
        root = event.redrive.root
        which = numbers(root.generation, root.partition, root.offset, event.redrive.attempt)
        return self._redrive_of(owner, event.photo_id.encode(), event.content_sha256, which)

    def _check_partition(self, owner: bytes, record: Record) -> None:
        if record.key != owner:
            raise Rejected(Reason.WRONG_PARTITION, "the record's key is not owner_id in UTF-8")
        right = partition_of(owner, self._rules.partitions)
        if right != self._partition:
            raise Rejected(
                Reason.WRONG_PARTITION,
                f"the record is in partition {self._partition}; murmur2 of owner_id over {self._rules.partitions} "
                f"partitions gives {right}",
            )

    def _recall(self, value: bytes | None, now_ms: int) -> tuple[int | None, bool, bytes]:
        """When the id was seen first, whether it was refused then, the digest; None when that is forgotten."""
        if value is None:
            return None, False, b""
        at, refused, digest = _REMEMBERED.unpack(value)
        if now_ms - at > self._remember_ms:
            return None, False, b""
        return at, refused, digest

    def _remember(self, reading: _Reading, digest: bytes, *, refused: bool) -> None:
        self.result.changes[reading.key] = _REMEMBERED.pack(reading.record.timestamp, refused, digest)

    def _take(self, reading: _Reading) -> None:
        event, record = reading.event, reading.record
        value = None
        if event.redrive is None:
            value = _ADMITTED(record.value or b"", self._log, numbers(record.offset), self._first_look)
        if value is not None:
            self.result.outputs.append(Written(ADMITTED, event.content_sha256, value))
        else:
            root, attempt = lineage(event, self._root(record))
            upload = {name: field for name, field in vars(event).items() if name != "redrive"}
            photo = PhotoAdmitted(**upload, root=root, attempt=attempt, admitted_at=self._now)
            self.result.outputs.append(Output(ADMITTED, event.content_sha256, photo))
        self._admitted += 1

    def _refuse(self, reading: _Reading, why: Rejected) -> None:
        event = within_bounds(reading.event, appended_at(reading.record))
        stems_from = lineage_of_refused(reading.event, self._root(reading.record))
        refusal = rejection(event, why, stage="admit", at=self._now, version=self._rules.version, lineage=stems_from)
        self.result.outputs.append(Output(ENRICHED, reading.owner, refusal))
        self._count_rejected(why.reason)

    def _count_rejected(self, reason: str) -> None:
        self._rejected[reason] = self._rejected.get(reason, 0) + 1
