"""Looking at photos for enrich: fetch, verify, decode, ask; what is away as a whole is waited out, what is away in part is said."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from agents.enrich import MODEL, ROOT, Away, Content, Look, Seen
from agents.measure import Measure
from agents.photo.decoders import Decoders, Killed, Limits, Prepared
from agents.photo.fetch import Objects
from agents.photo.room import Room
from agents.retry import Retry, others_answer
from agents.together import together
from agents.vision import triton as vision
from agents.vision.model import Model
from agents.vision.models import known_models
from schemas import metrics
from schemas.errors import Reason, Rejected, Unavailable
from schemas.events import (
    ModelResult,
    PhotoAdmitted,
    PhotoSeen,
)

_HELD_BYTES = 512 << 20
"""Of objects fetched and not yet decoded, all photos in work together; or one object, if it is larger."""

_MOST_KILLS = 12
"""Then it is the photo: with the pauses between them, half a minute, and a machine is not short of memory for one photo alone."""


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
