"""Redriving dead letters: each upload is published once more, as it was, by an event that says which it repeats.

What is sent twice counts once: the event's id is made from root and attempt (schemas/redrive.py), and admit drops repeats. So a
run may be broken off anywhere and done again, and two at once do no harm.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from schemas import codec
from schemas.errors import Unreadable
from schemas.events import PhotoUploaded, Redrive
from schemas.partitioning import partition_of
from schemas.redrive import MOST_ATTEMPTS, redriven
from sinks.clickhouse.letters import APART, Letter


class Skip(StrEnum):
    """Why a letter is not redriven: a closed list."""

    SEEN = "seen_since"
    REDRIVEN = "already_redriven"
    SUPERSEDED = "uploaded_again"
    USED_UP = "retries_used_up"
    GONE = "gone"
    NOBODY = "nobody"
    NO_PHOTO = "no_photo"

    @property
    def words(self) -> str:
        """In one sentence, with what to do."""
        return _WORDS[self]


_WORDS = {
    Skip.SEEN: "The photo has been seen since: there is nothing to do.",
    Skip.REDRIVEN: "It has been redriven, and that was rejected too: the later letter says why.",
    Skip.SUPERSEDED: "The photo was uploaded again since, and that was rejected too: redrive the later letter.",
    Skip.USED_UP: f"It has been redriven {MOST_ATTEMPTS} times: mend the cause and upload the photo again with a new event_id.",
    Skip.GONE: "Its upload is in photos.events no more, which keeps them for a week: upload the photo again with a new event_id.",
    Skip.NOBODY: "Its bytes name no owner and no photo: whoever sent them has to send an event.",
    Skip.NO_PHOTO: "Not the photo was at fault but the record, and it would be again: publish the upload as the advice says.",
}


def skip_of(letter: Letter, *, generation: int, partitions: int) -> Skip | None:
    """Why the letter is not to be redriven, as far as ClickHouse knows; `generation` and `partitions` of photos.events."""
    root, place = letter.root, letter.place
    if not letter.owner_id:
        return Skip.NOBODY
    if letter.reason in APART or partition_of(letter.owner_id.encode(), partitions) != root.partition:
        return Skip.NO_PHOTO
    if letter.seen > place:
        return Skip.SEEN
    if letter.latest > place:
        return Skip.REDRIVEN if letter.latest[:2] == place[:2] else Skip.SUPERSEDED
    if letter.attempt >= MOST_ATTEMPTS:
        return Skip.USED_UP
    return Skip.GONE if root.generation != generation else None


def upload_of(letter: Letter, value: bytes | None) -> PhotoUploaded | Skip:
    """The letter's upload, out of the record at its root; a Skip when that is not there or not this photo's upload."""
    if value is None:
        return Skip.GONE
    try:
        event = codec.decode(value, PhotoUploaded)
    except Unreadable:
        return Skip.GONE
    if (event.owner_id, event.photo_id) != (letter.owner_id, letter.photo_id):
        return Skip.GONE
    return Skip.NO_PHOTO if event.redrive else event


class Uploads(Protocol):
    """Where the uploads are (ops/uploads.py)."""

    def at(self, partition: int, offset: int) -> bytes | None:
        """The value of the record there; None when it is gone."""


@dataclass(slots=True)
class Tally:
    """What came of a run so far."""

    sent: int = 0
    skipped: Counter[Skip] = field(default_factory=Counter)

    @property
    def counts(self) -> dict[str, int]:
        """By name, for machines."""
        return {"sent": self.sent} | {f"skipped_{skip}": count for skip, count in sorted(self.skipped.items())}


def redrive(
    letters: Iterable[Letter],
    *,
    uploads: Uploads,
    publish: Callable[[PhotoUploaded], None],
    tally: Tally,
    generation: int,
    partitions: int,
    limit: int = 0,
    rate: float = 0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Publish what can be redriven, at most `limit` (0: all) and `rate` events a second (0: as fast as possible), and count in `tally`."""
    began = clock()
    for letter in letters:
        upload = skip_of(letter, generation=generation, partitions=partitions) or upload_of(
            letter, uploads.at(letter.root.partition, letter.root.offset)
        )
        if isinstance(upload, Skip):
            tally.skipped[upload] += 1
            continue
        if rate:
            sleep(max(0.0, began + tally.sent / rate - clock()))
        publish(redriven(upload, Redrive(letter.root, letter.attempt + 1)))
        tally.sent += 1
        if tally.sent == limit:
            return
