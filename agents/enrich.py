"""enrich, per content: looks at each photo and says what was seen, what is missing, or why that is impossible."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Protocol

from agents.batch import Batch, Delivery, Output, Result, State
from agents.measure import Measure
from agents.photo.decoders import Decoders, Killed, Limits, Prepared
from agents.photo.fetch import Objects
from agents.photo.room import Room
from agents.rejection import rejection
from agents.retry import Retry, others_answer
from agents.together import together
from agents.vision import triton as vision
from agents.vision.model import Model
from agents.vision.models import MODELS
from schemas import codec, metrics
from schemas.errors import Reason, Rejected, StrangeWorld, Unavailable
from schemas.events import (
    ModelResult,
    PhotoAdmitted,
    PhotoEnriched,
    PhotoRejected,
    PhotoSeen,
    PhotoWaiting,
)
from schemas.topics import ENRICHED, WAITING

_HELD_BYTES = 512 << 20
"""Of objects fetched and not yet decoded, all photos in work together; or one object, if it is larger."""


_MOST_KILLS = 12
"""Then it is the photo: with the pauses between them, half a minute, and a machine is not short of memory for one photo alone."""


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
    asked = known_models(models)
    objects = Objects(object_roots, private_roots=private_roots, max_object_bytes=max_object_bytes, measure=measure)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(objects.close)
        pool = stack.enter_context(Decoders(asked, decoders or _processors(), limits))
        server = await stack.enter_async_context(vision.connect(triton, measure))
        room = Room(max(_HELD_BYTES, max_object_bytes))
        yield _Looking(objects=objects, server=server, models=asked, decoders=pool, room=room, measure=measure)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def known_models(names: Sequence[str]) -> list[Model]:
    """The models of these names, each once. Raises StrangeWorld for one that there is not."""
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
        self._models_back = {model.name: self._retry(f"{vision.DEPENDENCY}: {model.name}") for model in models}

    async def __call__(self, photo: PhotoAdmitted, content: Content) -> Seen:
        """Seen by every model that answers. What is unavailable as a whole is waited out."""
        data, held = await self._fetched(photo)
        async with held, content.turn:
            content.known = known = await self._seen(data, content, insist=_was_away(photo))
        answers = {(result.model, result.version): result for result in known.models}
        return Seen(
            known,
            [answers[model.name, model.version] for model in self._models if (model.name, model.version) in answers],
            [MODEL + model.name for model in self._models if (model.name, model.version) not in answers],
        )

    async def _fetched(self, photo: PhotoAdmitted) -> tuple[bytes, AsyncExitStack]:
        """The object, and the room that it takes. Raises Away."""
        root, location = self._objects.find(photo.object_uri)

        async def fetched() -> tuple[bytes, AsyncExitStack]:
            # It is given back while an attempt waits for the next: a root that is down takes none from the others.
            async with AsyncExitStack() as room:
                await room.enter_async_context(self._room.take(photo.size_bytes))
                data = await self._objects.read(
                    root, location, size_bytes=photo.size_bytes, sha256=photo.content_sha256
                )
                return data, room.pop_all()

        back = self._roots_back[root.name]
        try:
            return await back(fetched, unless=others_answer(back, self._roots_back.values()), insist=_was_away(photo))
        except Unavailable as why:
            raise Away(ROOT + root.name) from why

    async def _seen(self, data: bytes, content: Content, *, insist: bool) -> PhotoSeen:
        """What is known, and what those models say that have not answered yet; the same object when none does."""
        known = content.known
        answers = {(result.model, result.version) for result in known.models} if known else set()
        wanted = [n for n, model in enumerate(self._models) if (model.name, model.version) not in answers]
        for model in self._models:
            if (model.name, model.version) in answers:
                self._measure.count(metrics.SPARED, model=model.name)
        if known and not wanted:
            return known
        shown = await self._prepared(data)
        found = await together(
            self._asked(
                self._models[n],
                partial(self._server.ask, self._models[n], shown.inputs[n], shown.frame),
                insist=insist,
            )
            for n in wanted
        )
        results = [result for result in found if result is not None]
        if known:
            return replace(known, models=[*known.models, *results]) if results else known
        return PhotoSeen(**vars(shown.facts), seen_at=content.at, models=results)

    async def _prepared(self, data: bytes) -> Prepared:
        kills = 0

        async def prepared() -> tuple[Prepared, float]:
            nonlocal kills
            try:
                return await self._decoders.prepare(data)
            except Killed as why:
                kills += 1
                if kills < _MOST_KILLS:
                    raise
                raise Rejected(Reason.OBJECT_TOO_LARGE, "decoder was killed, again and again") from why

        shown, seconds = await self._decoders_back(prepared)
        self._measure.observe(metrics.DECODE, seconds)
        return shown

    async def _asked(
        self, model: Model, ask: Callable[[], Awaitable[ModelResult]], *, insist: bool
    ) -> ModelResult | None:
        """None when the model is away, and others answer."""
        back = self._models_back[model.name]
        try:
            return await back(ask, unless=others_answer(back, self._models_back.values()), insist=insist)
        except Unavailable:
            return None

    def _retry(self, dependency: str) -> Retry:
        def waited(seconds: float) -> None:
            self._measure.count(metrics.WAITED, seconds, dependency=dependency)

        return Retry(dependency, on_wait=waited)


def _was_away(photo: PhotoAdmitted) -> bool:
    """Resume has seen that what the photo waits for is back: that is to be found out, not to be believed away."""
    return photo.fill > 0
