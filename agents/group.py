"""group, per owner: puts outcomes in order and says what each is to its owner's library."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from agents.batch import Batch, Delivery, Output, Result, State
from agents.measure import Measure
from agents.remember import KeyedHash
from schemas import metrics
from schemas.errors import Reason
from schemas.events import PhotoEnriched, PhotoGrouped, PhotoRejected, Root, Stamp
from schemas.topics import GROUPED

Outcome: TypeAlias = PhotoEnriched | PhotoRejected

Position: TypeAlias = tuple[Root, int, int]
"""(root, attempt, fill): which outcome of a photo is newer."""

_LOWEST: Position = (Root(0, -1, -1), 0, 0)

_POSITION = struct.Struct(">iiqii")


@dataclass(frozen=True, slots=True)
class _Known:
    """What group knows of a photo: its newest outcome, and the newest in which something was seen."""

    latest: Position
    seen: Position | None


async def group(batch: Batch, state: State, *, hash_key: bytes, measure: Measure) -> Result:
    """Each outcome that is news to its photo, stamped; what is not newer than what is known is dropped and counted.

    Outcomes come in whatever order they are ready, so a photo's place is two positions, compared apart:

    - What was seen passes if it is newer than what was seen before. A newer reject does not hold it up: a reject never
      replaces what was seen, so the library ends the same in whichever order the two arrive.
    - A reject passes if it is newer than every outcome so far, seen or not, and leaves what was seen as it is.

    Stamps: `first` is a photo's first outcome; `filled` is the same look as the one last seen with more filled in;
    `again` is everything else: a later upload, a redrive, any later reject.

    An upload in a wrong partition has a root that compares with no other, so its reject passes without a position; if it
    is the photo's first outcome, that is all that is remembered of it.
    """
    key_of = KeyedHash(hash_key, b"group photo")
    deliveries: Iterable[Delivery[Outcome]] = batch.deliveries(PhotoEnriched, PhotoRejected)
    outcomes = [delivery.event for delivery in deliveries]
    keys = [key_of(outcome.owner_id.encode(), outcome.photo_id.encode()) for outcome in outcomes]
    result = Result()
    stale = 0
    for outcome, key, committed in zip(outcomes, keys, state.get_many(keys), strict=True):
        value = result.changes.get(key, committed)
        known = _unpack(value) if value else None
        stamp = _stamp(outcome, known)
        if stamp is None:
            stale += 1
            continue
        result.changes[key] = _pack(_after(outcome, known))
        result.outputs.append(Output(GROUPED, outcome.owner_id.encode(), _grouped(outcome, stamp)))
    if stale:
        measure.count(metrics.STALE, stale)
    return result


def _stamp(outcome: Outcome, known: _Known | None) -> Stamp | None:
    """What the outcome is to its library; None when it is not news."""
    if known is None:
        return Stamp.FIRST
    at = _position(outcome)
    if isinstance(outcome, PhotoRejected):
        return Stamp.AGAIN if at is None or at > known.latest else None
    if known.seen is None or at is None:
        return Stamp.AGAIN
    if at <= known.seen:
        return None
    return Stamp.FILLED if at[:2] == known.seen[:2] else Stamp.AGAIN


def _after(outcome: Outcome, known: _Known | None) -> _Known:
    """What is known once the outcome has passed."""
    at = _position(outcome)
    known = known or _Known(_LOWEST, None)
    if at is None:
        return known
    return _Known(max(at, known.latest), at if isinstance(outcome, PhotoEnriched) else known.seen)


def _position(outcome: Outcome) -> Position | None:
    if isinstance(outcome, PhotoRejected) and outcome.reason == Reason.WRONG_PARTITION:
        return None
    return outcome.root, outcome.attempt, outcome.fill


def _grouped(outcome: Outcome, stamp: Stamp) -> PhotoGrouped:
    return PhotoGrouped(
        photo_id=outcome.photo_id,
        owner_id=outcome.owner_id,
        root=outcome.root,
        attempt=outcome.attempt,
        fill=outcome.fill,
        stamp=stamp,
        enriched=outcome if isinstance(outcome, PhotoEnriched) else None,
        rejected=outcome if isinstance(outcome, PhotoRejected) else None,
    )


def _pack(known: _Known) -> bytes:
    return b"".join(_bytes_of(position) for position in (known.latest, known.seen) if position is not None)


def _bytes_of(position: Position) -> bytes:
    root, attempt, fill = position
    return _POSITION.pack(root.generation, root.partition, root.offset, attempt, fill)


def _unpack(value: bytes) -> _Known:
    latest, *seen = (
        (Root(generation, partition, offset), attempt, fill)
        for generation, partition, offset, attempt, fill in _POSITION.iter_unpack(value)
    )
    return _Known(latest, seen[0] if seen else None)
