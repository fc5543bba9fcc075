"""enrich, per content: looks at each photo and says what was seen, what is missing, or why that is impossible."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Protocol

from agents.batch import Batch, Delivery, Output, Result, State
from agents.measure import Measure
from agents.rejection import rejection
from agents.together import together
from schemas import codec, metrics
from schemas.errors import Rejected
from schemas.events import (
    ModelResult,
    PhotoAdmitted,
    PhotoEnriched,
    PhotoRejected,
    PhotoSeen,
    PhotoWaiting,
)
from schemas.topics import ENRICHED, WAITING


class Content:
    """One content in a batch: what is known of it, and whose turn it is to find out more.

    Every photo is fetched and verified for itself; what was seen in the first serves the others.
    """

    def __init__(self, at: datetime, remembered: PhotoSeen | None = None) -> None:
        """`at`: when Kafka had the first photo of it in the batch; `remembered`: from an earlier batch."""
        self.at = at
        self.remembered = remembered
        self.known = remembered
        self.turn = asyncio.Lock()


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in a photo, and what is missing: dependencies that are away, while others are there (`model:NAME`)."""

    content: PhotoSeen
    models: Sequence[ModelResult]
    missing: Sequence[str] = ()


class Away(Exception):  # noqa: N818 (named by what was found)
    """Nothing was seen of a photo: what it needs is away, while others are there."""

    def __init__(self, dependency: str) -> None:
        super().__init__(dependency)
        self.dependency = dependency


class Look(Protocol):
    """Looks at a photo. Waits for what is unavailable as a whole; raises Away, or Rejected when photo or event is at fault."""

    async def __call__(self, photo: PhotoAdmitted, content: Content) -> Seen:
        """What was seen. It is then known of the content too."""


async def enrich(
    batch: Batch,
    state: State,
    *,
    look: Look,
    keep: timedelta,
    version: str,
    clock: Callable[[], datetime],
    measure: Measure,
) -> Result:
    """One outcome a photo, in the order of the batch; all photos of the batch are looked at concurrently.

    What is seen in a content is remembered for `keep`, so that its copies cost no model call; rejects are not. A photo that
    something is missing of goes to photos.waiting too, for agents/resume.py; one of which nothing could be seen goes there alone.
    """
    photos = list(batch.deliveries(PhotoAdmitted))
    contents = _contents(photos, state, keep)
    events = await together(
        _events(photo, contents[photo.event.content_sha256], look, version, clock) for photo in photos
    )
    result = Result()
    for event in chain.from_iterable(events):
        if isinstance(event, PhotoWaiting):
            result.outputs.append(Output(WAITING, event.photo.content_sha256, event))
            for dependency in event.dependencies:
                measure.count(metrics.PARKED, dependency=dependency)
        else:
            result.outputs.append(Output(ENRICHED, event.owner_id.encode(), event))
            if isinstance(event, PhotoRejected):
                measure.count(metrics.REJECTED, reason=event.reason)
    for photo, (outcome, *_) in zip(photos, events, strict=True):
        sha256 = photo.event.content_sha256
        content, known = contents[sha256], contents[sha256].known
        news = known is not content.remembered and sha256 not in result.changes
        if known and news and isinstance(outcome, PhotoEnriched):
            if not content.remembered:
                # Since when is the same however the records are cut into batches: the first photo that could be looked at.
                known = replace(known, seen_at=photo.appended_at)
            result.changes[sha256] = codec.encode(known)
    return result


def _contents(photos: Iterable[Delivery[PhotoAdmitted]], state: State, keep: timedelta) -> Mapping[bytes, Content]:
    first: dict[bytes, datetime] = {}
    for photo in photos:
        first.setdefault(photo.event.content_sha256, photo.appended_at)
    contents = {}
    for sha256, value in zip(first, state.get_many(list(first)), strict=True):
        known = codec.decode(value, PhotoSeen) if value else None
        valid = known is not None and first[sha256] - known.seen_at < keep
        contents[sha256] = Content(first[sha256], known if valid else None)
    return contents


async def _events(
    photo: Delivery[PhotoAdmitted], content: Content, look: Look, version: str, clock: Callable[[], datetime]
) -> list[PhotoEnriched | PhotoRejected | PhotoWaiting]:
    event = photo.event
    try:
        seen = await look(event, content)
    except Rejected as why:
        return [rejection(event, why, stage="enrich", at=clock(), version=version)]
    except Away as away:
        return [PhotoWaiting(photo=event, dependencies=[away.dependency], since=clock(), seen=False)]
    facts = {name: value for name, value in vars(seen.content).items() if name not in ("seen_at", "models")}
    enriched = PhotoEnriched(
        **(vars(event) | facts),
        enriched_at=clock(),
        models=list(seen.models),
        missing=[name.removeprefix(MODEL) for name in seen.missing],
        worker_version=version,
    )
    if not seen.missing:
        return [enriched]
    return [enriched, PhotoWaiting(photo=event, dependencies=list(seen.missing), since=clock(), seen=True)]


MODEL, ROOT = "model:", "root:"
"""How the names of dependencies begin."""
