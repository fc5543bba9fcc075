"""Where a group stands in a partition, and whether a worker may go on from there.

It may not when what it finds contradicts what it would have left behind itself: records could be lost then, or counted twice,
and nobody would see it. Such a fault is told in one line, with the command that shows it and the one that accepts it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from schemas.errors import StrangeWorld
from streams.position import Pending, Position


class Log(NamedTuple):
    """The first offset that a partition still has, and the one that its next record will get."""

    begin: int
    end: int

    def has(self, offset: int) -> bool:
        """Whether one can go on reading there, be it at the end."""
        return self.begin <= offset <= self.end


class Expected(NamedTuple):
    """What a worker's own note says: the ids of the topic and of the changelog, and the state's format ("" and 0 without one)."""

    topic_id: str
    changelog: str = ""
    format: int = 0


class Fault(NamedTuple):
    """What is wrong with a position, in words that follow its name.

    `to`: what to accept instead, "" where nothing helps but to forget the state; `otherwise`: what else could be accepted, and how to choose.
    """

    what: str
    to: str
    otherwise: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a group has committed of a partition: `offset` -1 without a commit, `position` None without a note of ours."""

    offset: int
    position: Position | None
    log: Log
    fault: Fault | None = None


def judge(offset: int, note: str, expected: Expected, log: Log) -> Standing:
    """By what the broker knows alone. That nothing is committed is no fault yet: there may be records of it elsewhere."""
    if offset < 0:
        return Standing(-1, None, log)
    try:
        position = Position.of(offset, note)
    except ValueError:
        to = "here" if log.has(offset) else "beginning"
        return Standing(offset, None, log, Fault("was set by something else than safelight", to))
    return Standing(offset, position, log, _fault(position, expected, log))


def _fault(position: Position, expected: Expected, log: Log) -> Fault | None:
    if position.format > expected.format:
        return Fault(
            f"came with a state of format {position.format}, and this safelight reads {expected.format}: use a newer safelight",
            "",
        )
    if position.topic_id != expected.topic_id:
        return Fault("belongs to an earlier topic of the same name", "beginning")
    if not log.has(position.offset):
        to = "beginning" if position.offset < log.begin else "end"
        return Fault(f"is {position.offset}, and the log has {log.begin} to {log.end}", to)
    if position.pending and position.pending.last >= log.end:
        return Fault(f"has rows pending up to {position.pending.last}, and the log ends at {log.end}", "end")
    # "": committed by a version that did not say.
    if position.changelog not in {"", expected.changelog}:
        return Fault("belongs to a state whose changelog was made anew since, empty", "here")
    return None


def expired(where: str) -> Fault:
    """Of a position that is not there, though `where` has something of the partition: it was there once."""
    return Fault(f"has expired or was deleted, and {where} has entries of the partition", "beginning")


def overdue(first: int, pending: Pending, longest: timedelta) -> Fault:
    """Of rows that ClickHouse may have or not, and may have forgotten that it has."""
    return Fault(
        f"has rows of offsets {first} to {pending.last} pending since {pending.since:%Y-%m-%d %H:%M} UTC, longer than "
        f"SAFELIGHT_PENDING_AGE ({longest}), for which ClickHouse surely remembers inserts",
        str(first),
        f" (they are sent again: doubled if it has them), `--to {pending.last + 1}` leaves them out (lost if it has not)",
    )


def refusal(group: str, topic: str, partition: int, fault: Fault) -> StrangeWorld:
    """The line with which a worker ends."""
    said = f"the position of {group} in {topic}-{partition} {fault.what}"
    agent = group.rpartition("safelight-")[2]
    accept = f"safelight offsets accept {agent} --topic {topic} --partition {partition} --to {fault.to or 'here'}"
    if not fault.to:
        return StrangeWorld(f"{said} (`safelight offsets` shows it), or begin with no state: `{accept} --forget`")
    return StrangeWorld(f"{said}: `safelight offsets` shows it, and `{accept}` accepts it{fault.otherwise}")
