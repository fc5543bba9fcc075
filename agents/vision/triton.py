"""Asking models, over Triton's gRPC interface."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient, InferResult
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from agents.life import Life, life
from agents.measure import Measure
from agents.vision.model import Frame, Inputs, Model, Tensors
from agents.vision.turns import Measured, Turns
from schemas import metrics
from schemas.errors import StrangeWorld, Unavailable
from schemas.events import ModelResult

DEPENDENCY = "triton"

_LOOK_SECONDS = 0.5
"""How often Triton is asked what it measures of a model's queue, while the model is asked."""

_CALL_SECONDS = 20.0
"""A call that takes longer has failed; since what is in flight fits the model, answers take well below a second, of a slow model (text) a few."""

_CHANNEL = [
    # A server that comes back is found within a second. By default gRPC backs off for up to two minutes; agents/retry.py
    # waits already.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A machine that vanished without a word is noticed.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # A channel of its own: channels with equal arguments share connections, and what one knows of them.
    ("grpc.use_local_subchannel_pool", 1),
]

_OUR_FAULT = ("StatusCode.INVALID_ARGUMENT", "StatusCode.UNIMPLEMENTED")


class Triton:
    """A Triton server. Every failure that is not a bug of ours is Unavailable: a photo is never to blame for it."""

    def __init__(self, client: InferenceServerClient, measure: Measure) -> None:
        self._client = client
        self._measure = measure
        self._turns: dict[str, Turns] = {}
        self._looked: dict[str, float] = {}  # when Triton was last asked about a model's queue
        self._looks: set[asyncio.Task[None]] = set()
        self._life = Life()  # of the queues for a turn

    async def ask(self, model: Model, tensors: Inputs, frame: Frame) -> ModelResult:
        """What the model sees in one photo, of which `tensors` are its inputs. One request: Triton makes batches of those that come together.

        Raises Unavailable, after 20 s at most (not counting the wait for a turn). Raises StrangeWorld when the server's
        model is not the one that was declared.
        """
        inputs = request(tensors)
        outputs = [InferRequestedOutput(name) for name in model.outputs]
        turns = self._turns.setdefault(model.name, Turns())
        async with AsyncExitStack() as turn:
            with life().behind(self._life):
                await turn.enter_async_context(turns)
            turn.callback(self._life.sign)
            began = time.perf_counter()
            answer = await self._infer(model, inputs, outputs)
            self._measure.observe(metrics.INFERENCE, time.perf_counter() - began, model=model.name)
        self._look(model, turns)
        return model.read(_checked(model, answer), frame)

    def _look(self, model: Model, turns: Turns) -> None:
        """At the model's queue, if it is time; nobody waits for it."""
        now = time.monotonic()
        if now - self._looked.get(model.name, 0.0) >= _LOOK_SECONDS:
            self._looked[model.name] = now
            look = asyncio.create_task(self._follow(model, turns))
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)

    async def _follow(self, model: Model, turns: Turns) -> None:
        with contextlib.suppress(InferenceServerException):  # then the limit stays as it is
            found = await self._client.get_inference_statistics(model.name, model.version, client_timeout=_CALL_SECONDS)
            turns.look(_measured(found.model_stats))

    async def close(self) -> None:
        """Look no more. The client is whoever's made it."""
        for look in list(self._looks):
            look.cancel()
        await asyncio.gather(*self._looks, return_exceptions=True)

    async def _infer(
        self, model: Model, inputs: list[InferInput], outputs: list[InferRequestedOutput]
    ) -> Mapping[str, np.ndarray | None]:
        try:
            result: InferResult = await self._client.infer(
                model.name, inputs, model.version, outputs, client_timeout=_CALL_SECONDS
            )
        except InferenceServerException as error:
            if error.status() in _OUR_FAULT:
                raise StrangeWorld(
                    f"Triton does not take what {model.name} {model.version} is declared to take: {error.message()}"
                ) from error
            status = str(error.status() or "no status").removeprefix("StatusCode.")
            raise Unavailable(DEPENDENCY, f"{model.name}: {status}, {_first_line(error)}") from error
        return {name: result.as_numpy(name) for name in model.outputs}


def request(tensors: Inputs) -> list[InferInput]:
    """The tensors as tritonclient sends them."""
    return [
        InferInput(name, list(tensor.shape), np_to_triton_dtype(tensor.dtype)).set_data_from_numpy(tensor)
        for name, tensor in tensors.items()
    ]


@asynccontextmanager
async def connect(address: str, measure: Measure) -> AsyncIterator[Triton]:
    """A client of the server at `address` (host:port), whether or not it is up; closed at the end of the block."""
    options = list(_CHANNEL)
    if address.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]"):
        options.append(("grpc.enable_http_proxy", 0))  # a proxy for the world is none for this machine
    async with InferenceServerClient(address, channel_args=options) as client:
        server = Triton(client, measure)
        try:
            yield server
        finally:
            await server.close()


def _measured(statistics: Iterable[Any]) -> Measured:
    """What the versions that were asked for have counted together."""
    stats = [each.inference_stats for each in statistics]
    return Measured(
        requests=sum(each.success.count for each in stats),
        queue_ns=sum(each.queue.ns for each in stats),
        compute_ns=sum(
            part.ns for each in stats for part in (each.compute_input, each.compute_infer, each.compute_output)
        ),
    )


def _checked(model: Model, answer: Mapping[str, np.ndarray | None]) -> Tensors:
    tensors = {}
    for name, shape in model.outputs.items():
        tensor = answer[name]
        if tensor is None or tensor.size == 0:
            # Its Python has a numpy that its backend cannot read: it answers everything so until it is mended.
            raise Unavailable(DEPENDENCY, f"{model.name} answers with an empty {name}")
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise StrangeWorld(
                f"{model.name} {model.version} answers with {name} {tensor.dtype}{list(tensor.shape)}, declared is "
                f"float32{list(shape)}: serve the model that this version of safelight declares"
            )
        if not np.isfinite(tensor).all():
            raise StrangeWorld(
                f"{model.name} {model.version} answers with {name} that are no numbers (NaN or infinite)"
            )
        tensors[name] = tensor
    return tensors


def _first_line(error: InferenceServerException) -> str:
    lines = (error.message() or "").strip().splitlines()
    return lines[0][:200] if lines else "no message"
