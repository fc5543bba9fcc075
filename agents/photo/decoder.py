"""A decoder: a process that makes of photos what models are shown of them, one after the other, and may die of any.

    python -m agents.photo.decoder MEMORY_BYTES CPU_SECONDS PARENT MODEL…

agents/photo/decoders.py starts it. It reads requests from standard input, a socket, and answers on the same:

    it      READY, once
    parent  REQUEST (bytes of the photo), the photo
    it      ANSWER (kind, index, size), then so many bytes:
              PREPARED  the photo's facts (agents/photo/facts.py); behind them the models' inputs as layouts() has them
              REJECTED  the detail in UTF-8; index: in REASONS
              BUG       a traceback in UTF-8

When it runs out of memory it ends with exit code NO_MEMORY; when out of processor time, by SIGXCPU.
"""

import contextlib
import ctypes
import errno
import math
import os
import resource
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from agents.photo.decode import MEDIA_TYPES, Picture, check_formats, decode
from agents.photo.facts import facts, pack
from agents.vision.model import Inputs, Model, Tensor, frame_of
from agents.vision.models import MODELS
from schemas.errors import Reason, Rejected

READY = b"\x06"
REQUEST = struct.Struct("<Q")
ANSWER = struct.Struct("<BBI")
PREPARED, REJECTED, BUG = range(3)
NO_MEMORY = 3

REASONS = (Reason.NOT_A_PHOTO, Reason.DAMAGED_PHOTO, Reason.OBJECT_TOO_LARGE)
"""Why decode rejects a photo."""

LONGEST_TEXT = 4000
"""Of a detail or a traceback, in bytes."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

Layout: TypeAlias = Inputs
"""Name, shape and type of each input of a model, by one photo's."""


def layouts(models: Sequence[Model]) -> list[Layout]:
    """Of all models: the same for every photo, so that a decoder need not tell them, and cannot lie about them."""
    grey = np.full((256, 256, 3), 127, np.uint8)
    picture = Picture(grey, 256, 256, MEDIA_TYPES[0])
    return [dict(sorted(model.prepare(picture).items())) for model in models]


def main() -> None:
    """Until standard input ends, or the parent does."""
    memory_bytes, cpu_seconds, parent = map(int, sys.argv[1:4])
    _end_with(parent)
    # Who ends it is its parent: not Ctrl-C, nor a service manager that asks every process of the service to go.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Of what it allocates. RLIMIT_AS would count what is only reserved too: libraries, threads' stacks and arenas.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    try:
        _serve([MODELS[name] for name in sys.argv[4:]], cpu_seconds)
    except MemoryError:
        os._exit(NO_MEMORY)


def _end_with(parent: int) -> None:
    """However the parent ends, even in the middle of a photo.

    To Linux the parent is the thread that started this process: it must not end before the decoder.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 (nothing more to import)
            file.write("1000")  # short of memory, the kernel takes a decoder, not the worker
    if os.getppid() != parent:  # it ended before
        sys.exit()


def _serve(models: Sequence[Model], cpu_seconds: int) -> None:
    check_formats()  # which Pillow would look for at the first photo, and pass over in silence what it cannot load
    known = layouts(models)
    with socket.socket(fileno=sys.stdin.fileno()) as channel, contextlib.suppress(EOFError):
        channel.sendall(READY)
        while True:
            _allow(cpu_seconds)  # before the photo comes, lest what the last one has left ends it
            [size] = REQUEST.unpack(_received(channel, REQUEST.size))
            data = _received(channel, size)
            for part in _answer(data, models, known):
                channel.sendall(part)


def _received(channel: socket.socket, size: int) -> bytes:
    """So many bytes. Raises EOFError when the parent has ended."""
    data = channel.recv(size, socket.MSG_WAITALL)
    while len(data) < size:  # a signal came between
        more = channel.recv(size - len(data), socket.MSG_WAITALL)
        if not more:
            raise EOFError
        data += more
    return data


def _allow(cpu_seconds: int) -> None:
    """So many more seconds of all processors together; then SIGXCPU ends this process."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + cpu_seconds, most))


def _answer(data: bytes, models: Sequence[Model], known: Sequence[Layout]) -> Iterator[bytes | memoryview]:
    errno_of_c = _errno_of_c()
    errno_of_c.value = 0
    try:
        picture = decode(data, short_side=max(model.short_side for model in models))
        said = pack(facts(picture), frame_of(picture))
        inputs = [model.prepare(picture) for model in models]
        tensors = [_raw(inputs[n][name], like) for n, layout in enumerate(known) for name, like in layout.items()]
    except MemoryError:
        raise
    except Rejected as why:
        if errno_of_c.value == errno.ENOMEM and why.reason is Reason.DAMAGED_PHOTO:
            raise MemoryError from why  # some libraries do not say why they fail
        detail = why.detail.encode()[:LONGEST_TEXT]
        yield ANSWER.pack(REJECTED, REASONS.index(why.reason), len(detail))
        yield detail
    except Exception:  # noqa: BLE001 (whatever it is, the parent raises it)
        text = traceback.format_exc().encode(errors="replace")[-LONGEST_TEXT:]
        yield ANSWER.pack(BUG, 0, len(text))
        yield text
    else:
        yield ANSWER.pack(PREPARED, 0, len(said))
        yield said
        yield from tensors


def _errno_of_c() -> ctypes.c_int:
    """What the last call into the C library that failed in this thread failed with; to be read and set."""
    if sys.platform != "linux":
        return ctypes.c_int()
    where = ctypes.CDLL(None)["__errno_location"]
    where.restype = ctypes.POINTER(ctypes.c_int)
    place: ctypes.c_int = where().contents
    return place


def _raw(tensor: Tensor, like: Tensor) -> memoryview:
    if (tensor.shape, tensor.dtype) != (like.shape, like.dtype):
        raise ValueError(
            f"a model's input is {tensor.dtype}{list(tensor.shape)}, and of another photo {like.dtype}{list(like.shape)}"
        )
    return np.ascontiguousarray(tensor).reshape(-1).data


if __name__ == "__main__":
    main()
