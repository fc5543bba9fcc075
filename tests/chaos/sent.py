"""What a feeder says that it has sent: the only list that a round is accounted by, never read back from the stack."""

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What must become of a record of photos.events."""

    ENRICHED = "enriched"  # seen by the models: an outcome, and a photo
    REPEAT = "repeat"  # was taken before: nothing at all
    REJECTED = "rejected"  # refused, by admit or by enrich: an outcome, and a dead letter of its owner
    DEAD_LETTER = "dead_letter"  # no event at all: a dead letter of nobody


@dataclass(frozen=True, slots=True)
class Sent:
    """One record, acknowledged by the broker at `partition` and `offset`.

    `reason`: one of schemas.errors.Reason, of what is rejected and of dead letters. The ids are those of the event, empty for a
    dead letter. What group drops as stale has no outcome, so a photo_id may come again only in a later record that admit refuses.
    """

    partition: int
    offset: int
    value: bytes | None
    fate: Fate
    reason: str = ""
    owner_id: str = ""
    photo_id: str = ""
    event_id: str = ""
