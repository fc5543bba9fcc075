"""enrich, per content: looks at each photo and says what was seen, or why that is impossible."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from agents.batch import Batch, Output, Result, State
from agents.measure import Measure
from agents.photo.decoders import Decoders, Limits
from agents.photo.facts import Facts
from agents.photo.fetch import Objects
from agents.photo.room import Room
from agents.rejection import rejection
from agents.retry import Retry
from agents.together import together
from agents.vision import triton as vision
from agents.vision.model import Model
from agents.vision.models import MODELS
from schemas import metrics
from schemas.errors import Rejected, StrangeWorld
from schemas.events import ModelResult, PhotoAdmitted, PhotoEnriched, PhotoRejected
from schemas.topics import ENRICHED

_HELD_BYTES = 512 << 20
"""Of objects fetched and not yet decoded, all photos in work together; or one object, if it is larger."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in a photo; `missing` names the models that have not answered."""

    facts: Facts
    models: Sequence[ModelResult]
    missing: Sequence[str] = ()


class Look(Protocol):
    """Looks at a photo. Waits for whatever is unavailable; raises Rejected when the photo or its event is at fault."""

    async def __call__(self, photo: PhotoAdmitted) -> Seen:
        """What was seen."""


async def enrich(
    batch: Batch, state: State, *, look: Look, version: str, clock: Callable[[], datetime], measure: Measure
) -> Result:
    """One outcome a photo, in the order of the batch; all photos of the batch are looked at concurrently."""
    del state  # nothing is remembered from one batch to the next
    photos = [delivery.event for delivery in batch.deliveries(PhotoAdmitted)]
    outcomes = await together(_outcome(photo, look, version, clock) for photo in photos)
    for outcome in outcomes:
        if isinstance(outcome, PhotoRejected):
            measure.count(metrics.REJECTED, reason=outcome.reason)
    return Result([Output(ENRICHED, outcome.owner_id.encode(), outcome) for outcome in outcomes])


async def _outcome(
    photo: PhotoAdmitted, look: Look, version: str, clock: Callable[[], datetime]
) -> PhotoEnriched | PhotoRejected:
    try:
        seen = await look(photo)
    except Rejected as why:
        return rejection(photo, why, stage="enrich", at=clock(), version=version)
    facts = seen.facts
    return PhotoEnriched(
        **(vars(photo) | {"media_type": facts.media_type}),
        enriched_at=clock(),
        width=facts.width,
        height=facts.height,
        models=list(seen.models),
        missing=list(seen.missing),
        worker_version=version,
        camera=facts.camera,
        pdq=facts.pdq.bits,
        pdq_quality=facts.pdq.quality,
        sharpness=facts.sharpness,
    )


@asynccontextmanager
async def open_look(
    *,
    object_roots: Sequence[str],
    private_roots: Sequence[str] = (),
    max_object_bytes: int,
    triton: str,
    models: Sequence[str],
    measure: Measure,
    decoders: int = 0,
    limits: Limits | None = None,
) -> AsyncIterator[Look]:
    """A Look with everything it needs open, and closed at the end of the block.

    `decoders`: how many photos are decoded at once; 0 is as many as there are processors for this process. `limits`: of one.

    Raises StrangeWorld for an object root that cannot be opened and for a model that safelight does not know. Triton need
    not be up.
    """
    asked = _known(models)
    objects = Objects(object_roots, private_roots=private_roots, max_object_bytes=max_object_bytes, measure=measure)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(objects.close)
        pool = stack.enter_context(Decoders(asked, decoders or _processors(), limits))
        server = await stack.enter_async_context(vision.connect(triton, measure))
        room = Room(max(_HELD_BYTES, max_object_bytes))
        yield _Looking(objects=objects, server=server, models=asked, decoders=pool, room=room, measure=measure)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _known(names: Sequence[str]) -> list[Model]:
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise StrangeWorld(f"SAFELIGHT_MODELS: no model is named {unknown[0]}; there are {', '.join(MODELS)}")
    if not names:
        raise StrangeWorld(f"SAFELIGHT_MODELS names no model; there are {', '.join(MODELS)}")
    return [MODELS[name] for name in dict.fromkeys(names)]


class _Looking:
    """Fetch, verify, decode once, then ask all models at once."""

    def __init__(
        self,
        *,
        objects: Objects,
        server: vision.Triton,
        models: Sequence[Model],
        decoders: Decoders,
        room: Room,
        measure: Measure,
    ) -> None:
        self._objects = objects
        self._server = server
        self._models = models
        self._decoders = decoders
        self._room = room
        self._measure = measure
        self._roots_back = {root.name: self._retry(root.name) for root in objects.roots}
        self._decoders_back = self._retry("decoders")
        self._server_back = self._retry(vision.DEPENDENCY)

    async def __call__(self, photo: PhotoAdmitted) -> Seen:
        """Seen by every model; whatever is unavailable is waited out."""
        root, location = self._objects.find(photo.object_uri)

        async def fetched() -> tuple[bytes, AsyncExitStack]:
            """The object, and the room that it takes."""
            # It is given back while an attempt waits for the next: a root that is down takes none from the others.
            async with AsyncExitStack() as held:
                await held.enter_async_context(self._room.take(photo.size_bytes))
                data = await self._objects.read(
                    root, location, size_bytes=photo.size_bytes, sha256=photo.content_sha256
                )
                return data, held.pop_all()

        data, held = await self._roots_back[root.name](fetched)
        async with held:
            shown, seconds = await self._decoders_back(partial(self._decoders.prepare, data))
            del data
        self._measure.observe(metrics.DECODE, seconds)
        results = await together(
            self._server_back(partial(self._server.ask, model, tensors, shown.facts.frame))
            for model, tensors in zip(self._models, shown.inputs, strict=True)
        )
        return Seen(shown.facts, results)

    def _retry(self, dependency: str) -> Retry:
        def waited(seconds: float) -> None:
            self._measure.count(metrics.WAITED, seconds, dependency=dependency)

        return Retry(dependency, on_wait=waited)
