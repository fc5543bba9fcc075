"""resume, per content: returns a photo to photos.admitted when what it waits for is back, and gives it up after a long time.

Only enrich asks models about photos. Whether something is back is asked once for all photos that wait for it. As long as
nothing of a batch is back, reading stops, for at most a minute; then what still waits goes to the end of photos.waiting, so
that it does not stand before others.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np

from agents.batch import Batch, Output, Result, State
from agents.enrich import MODEL, ROOT
from agents.life import life
from agents.measure import Measure
from agents.photo.decode import MEDIA_TYPES, Picture
from agents.photo.fetch import Objects
from agents.photo.location import Location
from agents.photo.root import Root
from agents.rejection import rejection
from agents.vision import triton as vision
from agents.vision.model import Model, frame_of
from agents.vision.models import known_models
from schemas import metrics
from schemas.errors import Reason, Rejected, Unavailable
from schemas.events import PhotoAdmitted, PhotoWaiting
from schemas.topics import ADMITTED, ENRICHED, WAITING

_LONGEST_SECONDS = 60.0
_PAUSE_SECONDS = 2.0


class Back(Protocol):
    """Finds out whether a dependency is back."""

    async def __call__(self, dependency: str, photo: PhotoAdmitted) -> bool:
        """By a look at it; `photo`: one that waits for it."""


async def resume(
    batch: Batch,
    state: State,
    *,
    back: Back,
    patience: timedelta,
    version: str,
    clock: Callable[[], datetime],
    measure: Measure,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Result:
    """Each photo goes back to photos.admitted (fill + 1), or to photos.waiting; after `patience` it waits no longer.

    Then a photo in which something was seen stays as it is, and says what is missing; one in which nothing was is rejected.
    """
    del state  # what waits is on the topic
    now, end = clock(), monotonic() + _LONGEST_SECONDS
    waiting = [delivery.event for delivery in batch.deliveries(PhotoWaiting)]
    patient = [each for each in waiting if now - each.since < patience]
    while not (found := await _found(patient, back)) and len(patient) == len(waiting) and monotonic() < end:
        with life().wait():
            await sleep(_PAUSE_SECONDS)
    result = Result()
    for each in waiting:
        photo = each.photo
        if now - each.since < patience:
            if found.intersection(each.dependencies):
                result.outputs.append(Output(ADMITTED, photo.content_sha256, replace(photo, fill=photo.fill + 1)))
                measure.count(metrics.RESUMED)
            else:
                result.outputs.append(Output(WAITING, photo.content_sha256, each))
        elif not each.seen:
            why = Rejected(Reason.NEVER_SEEN, f"{', '.join(each.dependencies)} stayed away for {patience}")
            result.outputs.append(
                Output(
                    ENRICHED, photo.owner_id.encode(), rejection(photo, why, stage="resume", at=now, version=version)
                )
            )
            measure.count(metrics.REJECTED, reason=why.reason)
    return result


async def _found(waiting: Iterable[PhotoWaiting], back: Back) -> set[str]:
    """Which dependencies are back."""
    photos = {dependency: each.photo for each in waiting for dependency in each.dependencies}
    return {dependency for dependency, photo in photos.items() if await back(dependency, photo)}


@asynccontextmanager
async def open_back(
    *,
    object_roots: Sequence[str],
    private_roots: Sequence[str] = (),
    max_object_bytes: int,
    triton: str,
    models: Sequence[str],
    measure: Measure,
) -> AsyncIterator[Back]:
    """A Back with what it needs open, and closed at the end of the block; arguments and errors as open_look (agents/look.py)."""
    objects = Objects(object_roots, private_roots=private_roots, max_object_bytes=max_object_bytes, measure=measure)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(objects.close)
        server = await stack.enter_async_context(vision.connect(triton, measure))
        yield _Asking({ROOT + root.name: root for root in objects.roots}, server, known_models(models))


class _Asking:
    """Asks a model about a grey picture, and a root for the photo."""

    def __init__(self, roots: Mapping[str, Root], server: vision.Triton, models: Iterable[Model]) -> None:
        self._roots = roots
        self._server = server
        self._models = {MODEL + model.name: model for model in models}

    async def __call__(self, dependency: str, photo: PhotoAdmitted) -> bool:
        """What is configured no longer is not waited for any longer either: enrich looks with what is."""
        try:
            if model := self._models.get(dependency):
                await self._server.ask(model, model.prepare(_GREY), frame_of(_GREY))
            elif root := self._roots.get(dependency):
                async with root.open(Location.parse(photo.object_uri)):
                    pass
        except Unavailable:
            return False
        except Rejected:  # of this photo; enrich will say so
            return True
        return True


_GREY = Picture(np.full((256, 256, 3), 127, np.uint8), 256, 256, MEDIA_TYPES[0])
