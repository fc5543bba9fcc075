"""Asking models, over Triton's gRPC interface."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import numpy as np
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient, InferResult
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from agents.life import Life, life
from agents.measure import Measure
from agents.vision.model import Frame, Inputs, Model, Tensors
from schemas import metrics
from schemas.errors import StrangeWorld, Unavailable
from schemas.events import ModelResult

DEPENDENCY = "triton"

_CALL_SECONDS = 20.0
"""A call that takes longer has failed; answers take well below a second, of a slow model (text) a few."""

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
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._life = Life()  # of the queues for a turn

    async def ask(self, model: Model, tensors: Inputs, frame: Frame) -> ModelResult:
        """What the model sees in one photo, of which `tensors` are its inputs. One request: Triton makes batches of those that come together.

        Raises Unavailable, after 20 s at most (not counting the wait for a turn). Raises StrangeWorld when the server's
        model is not the one that was declared.
        """
        inputs = [
            InferInput(name, list(tensor.shape), np_to_triton_dtype(tensor.dtype)).set_data_from_numpy(tensor)
            for name, tensor in tensors.items()
        ]
        outputs = [InferRequestedOutput(name) for name in model.outputs]
        turns = self._turns.setdefault(model.name, asyncio.Semaphore(model.in_flight))
        with life().behind(self._life):
            await turns.acquire()
        try:
            began = time.perf_counter()
            answer = await self._infer(model, inputs, outputs)
            self._measure.observe(metrics.INFERENCE, time.perf_counter() - began, model=model.name)
        finally:
            turns.release()
            self._life.sign()
        return model.read(_checked(model, answer), frame)

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


@asynccontextmanager
async def connect(address: str, measure: Measure) -> AsyncIterator[Triton]:
    """A client of the server at `address` (host:port), whether or not it is up; closed at the end of the block."""
    options = list(_CHANNEL)
    if address.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]"):
        options.append(("grpc.enable_http_proxy", 0))  # a proxy for the world is none for this machine
    async with InferenceServerClient(address, channel_args=options) as client:
        yield Triton(client, measure)


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
