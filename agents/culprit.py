"""What becomes of a record on which an agent fails every time (streams/tries.py finds it): its photo is rejected as an internal error.

So the photo has its one outcome, is listed with the dead letters, and can be redriven after the fix. Each function is given a
batch of that one record and `detail`, which names the error and its place. Where these fail as well, the worker ends.
"""

import dataclasses
from collections.abc import Callable, Iterable
from datetime import datetime

from agents.batch import Batch, Delivery, Output, Result, State, appended_at
from agents.bounds import check_attributable, within_bounds
from agents.group import group
from agents.measure import Measure
from agents.redrive import lineage_of_refused
from agents.rejection import Photo, rejection
from agents.store import store
from schemas import codec, metrics
from schemas.errors import Reason, Rejected
from schemas.events import (
    DeadLetter,
    PhotoAdmitted,
    PhotoEnriched,
    PhotoGrouped,
    PhotoRejected,
    PhotoUploaded,
    PhotoWaiting,
    Root,
)
from schemas.partitioning import partition_of
from schemas.tables import Rows
from schemas.topics import DEAD_LETTER, ENRICHED, GROUPED

Clock = Callable[[], datetime]


async def of_admit(
    batch: Batch,
    state: State,
    detail: str,
    *,
    generation: int,
    partitions: int,
    version: str,
    clock: Clock,
    measure: Measure,
) -> Result:
    """A PhotoRejected, or a DeadLetter if nobody can attribute the event.

    Nothing is remembered of it, since the memory may be what is wrong: the same event again is another record to judge.
    """
    del state
    [record] = batch.records
    root = Root(generation, batch.partition, record.offset)
    value = record.value or b""
    try:
        event = codec.decode(value, PhotoUploaded)
        check_attributable(event)
    except Rejected:
        letter = DeadLetter(
            root=root,
            reason=Reason.INTERNAL_ERROR,
            detail=detail,
            payload=b"",  # it may be why
            payload_bytes=len(value),
            rejected_at=clock(),
            worker_version=version,
        )
        measure.count(metrics.REJECTED, reason=Reason.INTERNAL_ERROR)
        return Result([Output(DEAD_LETTER, str(batch.partition).encode(), letter)])
    owner = event.owner_id.encode()
    # Of a record in a wrong partition the root compares with no other of its photo, and group must know that.
    here = record.key == owner and partition_of(owner, partitions) == batch.partition
    why = (
        Rejected(Reason.INTERNAL_ERROR, detail)
        if here
        else Rejected(Reason.WRONG_PARTITION, "the record is not in its owner's partition")
    )
    known = within_bounds(event, appended_at(record))
    stems_from = lineage_of_refused(event, root)
    rejected = rejection(known, why, stage="admit", at=clock(), version=version, lineage=stems_from)
    measure.count(metrics.REJECTED, reason=rejected.reason)
    return Result([Output(ENRICHED, owner, rejected)])


async def of_enrich(batch: Batch, state: State, detail: str, *, version: str, clock: Clock, measure: Measure) -> Result:
    """A PhotoRejected."""
    del state
    [photo] = batch.deliveries(PhotoAdmitted)
    rejected = _internal(photo.event, "enrich", detail, clock(), version)
    measure.count(metrics.REJECTED, reason=rejected.reason)
    return Result([Output(ENRICHED, rejected.owner_id.encode(), rejected)])


async def of_resume(batch: Batch, state: State, detail: str, *, version: str, clock: Clock, measure: Measure) -> Result:
    """A PhotoRejected; nothing when something was seen in the photo, which stays as it is."""
    del state
    [waiting] = batch.deliveries(PhotoWaiting)
    if waiting.event.seen:
        return Result()
    rejected = _internal(waiting.event.photo, "resume", detail, clock(), version)
    measure.count(metrics.REJECTED, reason=rejected.reason)
    return Result([Output(ENRICHED, rejected.owner_id.encode(), rejected)])


async def of_group(
    batch: Batch, state: State, detail: str, *, hash_key: bytes, version: str, clock: Clock, measure: Measure
) -> Result:
    """The PhotoGrouped of a PhotoRejected, if group has a place for that: a reject never replaces what was seen."""
    outcomes: Iterable[Delivery[PhotoEnriched | PhotoRejected]] = batch.deliveries(PhotoEnriched, PhotoRejected)
    [outcome] = outcomes
    rejected = _internal(outcome.event, "group", detail, clock(), version)
    measure.count(metrics.REJECTED, reason=rejected.reason)
    return await group(_instead(batch, rejected), state, hash_key=hash_key, measure=measure)


def of_store(batch: Batch, detail: str, at: datetime, *, version: str, measure: Measure) -> list[Rows]:
    """The rows of a photo that was rejected; none of a dead letter or metric, which is counted as skipped.

    The same for the same arguments: rows that are sent again must not differ.
    """
    if batch.topic != GROUPED.name:
        measure.count(metrics.SKIPPED, topic=batch.topic)
        return []
    [photo] = batch.deliveries(PhotoGrouped)
    rejected = _internal(photo.event.outcome, "store", detail, at, version)
    measure.count(metrics.REJECTED, reason=rejected.reason)
    return store(_instead(batch, dataclasses.replace(photo.event, enriched=None, rejected=rejected)), measure=measure)


def _internal(photo: Photo, stage: str, detail: str, at: datetime, version: str) -> PhotoRejected:
    return rejection(photo, Rejected(Reason.INTERNAL_ERROR, detail), stage=stage, at=at, version=version)


@dataclasses.dataclass(frozen=True, slots=True)
class _Record:
    """A record with another value."""

    key: bytes | None
    value: bytes
    offset: int
    timestamp: int


def _instead(batch: Batch, event: PhotoRejected | PhotoGrouped) -> Batch:
    [record] = batch.records
    return dataclasses.replace(
        batch, records=[_Record(record.key, codec.encode(event), record.offset, record.timestamp)]
    )
