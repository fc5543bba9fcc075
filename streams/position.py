"""What a group has committed of a partition: an offset, and a note that travels in the offset's metadata.

The note says of which topic the offset is (a topic made anew under the same name reuses offsets), what is pending there
(streams/pending.py), and which state belongs to it (streams/state.py). An offset without our note was set by something else.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Pending:
    """Rows of the records up to and with `last` are on their way to ClickHouse, `since` this commit.

    `culprit`: they are the rejection of one record, for this reason (streams/tries.py).
    """

    last: int
    since: datetime
    culprit: str = ""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many inserts the partition had `left` at a time (streams/pace.py); below 0 what it is ahead."""

    left: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Position:
    """The next record to work on; `topic_id` is the broker's id of the topic.

    `tries`: how often the batch that begins here has failed, `suspect`: the last offset of that batch, `culprits`: how many
    records in a row were rejected before this one (streams/tries.py). `format`: of the state that was committed with it, 0
    without one, and `changelog`: the broker's id of the topic that keeps it (streams/state.py). `allowance`: of a partition whose
    rows go to ClickHouse.
    """

    offset: int
    topic_id: str
    pending: Pending | None = None
    tries: int = 0
    format: int = 0
    suspect: int = -1
    culprits: int = 0
    changelog: str = ""
    allowance: Allowance | None = None

    @property
    def note(self) -> str:
        """The metadata to commit with the offset."""
        note: dict[str, object] = {"topic": self.topic_id}
        if self.pending:
            note["pending"] = self.pending.last
            note["since"] = self.pending.since.timestamp()
            if self.pending.culprit:
                note["culprit"] = self.pending.culprit
        if self.tries:
            note["tries"] = self.tries
            note["suspect"] = self.suspect
        if self.culprits:
            note["culprits"] = self.culprits
        if self.format:
            note["format"] = self.format
        if self.changelog:
            note["changelog"] = self.changelog
        if self.allowance:
            note["left"] = round(self.allowance.left, 3)
            note["at"] = self.allowance.at.timestamp()
        return json.dumps(note, separators=(",", ":"))

    @classmethod
    def of(cls, offset: int, note: str) -> "Position":
        """What was committed. Raises ValueError when the note is not ours."""
        try:
            read = json.loads(note)
            pending = (
                Pending(read["pending"], datetime.fromtimestamp(read["since"], UTC), read.get("culprit", ""))
                if "pending" in read
                else None
            )
            return cls(
                offset,
                read["topic"],
                pending,
                tries=read.get("tries", 0),
                format=read.get("format", 0),
                suspect=read.get("suspect", -1),
                culprits=read.get("culprits", 0),
                changelog=read.get("changelog", ""),
                allowance=Allowance(read["left"], datetime.fromtimestamp(read["at"], UTC)) if "left" in read else None,
            )
        except (KeyError, TypeError) as error:
            raise ValueError("a note that is not safelight's") from error
