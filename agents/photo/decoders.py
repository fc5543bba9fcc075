"""A few processes that decode photos and prepare models' inputs, with limits on memory and time: a photo can hurt only itself.

What crashes, hangs or bloats its decoder is rejected, and the decoder is replaced. It might not have been the photo: the
kernel short of memory, an operator, a machine that stood still, what an earlier photo left behind. So it has a second try, in
a new decoder, while no other decodes. Only who used up memory or processor time has not: there the photo is to blame. And two that are
killed from outside say nothing of the photo: enrich waits, and tries again some times.

The inputs are prepared there too: they are no larger than the pixels, and here the interpreter would do one at a time. What a
decoder sends is numbers in places that are known before, and text: one that a photo took over can lie to us only about photos. (It
runs as the same user as the worker; what else it could do is for a sandbox around both to bound.)

Photos and inputs go through a socket: 6 MB there and 0.6 MB back take 3.7 ms, through pipes or shared memory 5.3, and of a
decoder that was killed nothing is left behind. A thread a decoder waits for it; the event loop copies nothing.
"""

import asyncio
import contextlib
import logging
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from agents.life import Life, life
from agents.photo.decoder import (
    ANSWER,
    BUG,
    LONGEST_TEXT,
    NO_MEMORY,
    PREPARED,
    READY,
    REASONS,
    REJECTED,
    REQUEST,
    layouts,
)
from agents.photo.facts import LONGEST, Facts, unpack
from agents.vision.model import Frame, Inputs, Model, Tensor
from schemas.errors import Reason, Rejected, Unavailable

_LOG = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-P", "-X", "faulthandler", "-m", "agents.photo.decoder")

_START_SECONDS = 60
_STARTS = 3
"""In a row that fail, before decoding counts as unavailable."""

_SIGN_SECONDS = 1
"""Between two signs of life of a decoder that is watched."""

_BUFFER_BYTES = 1 << 20
"""As far as the system allows."""

_TIMEVAL = struct.pack("@ll", _SIGN_SECONDS, 0)

_LAST_SECONDS = 5.0
"""What a process may take to end that has closed its socket."""


@dataclass(frozen=True, slots=True)
class Limits:
    """For one photo. Memory is what a decoder allocates in all; an idle one has 60 MB."""

    memory_bytes: int = 2 << 30  # 120 megapixels of floats in a TIFF, or in a WebP, take 1.6 GB
    cpu_seconds: int = 30  # they take 10 in a WebP
    wall_seconds: float = 120  # on a machine that does much else


@dataclass(frozen=True, slots=True)
class Prepared:
    """A photo as models are shown it: `inputs` for each model, made of a picture of the size of `frame`."""

    facts: Facts
    frame: Frame
    inputs: Sequence[Inputs]


class Decoders:
    """A decoder for each of `count` photos at once, started when this is made, and gone when the block is left."""

    def __init__(
        self, models: Sequence[Model], count: int, limits: Limits | None = None, *, command: Sequence[str] = _COMMAND
    ) -> None:
        limits = limits or Limits()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decode")
        self._company = _Company()
        self._life = Life()
        self._closed = False
        self._decoders = [_Decoder(command, models, limits, sign=self._life.sign) for _ in range(count)]
        self._idle: queue.SimpleQueue[_Decoder] = queue.SimpleQueue()
        for decoder in self._decoders:
            self._idle.put(decoder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._closed = True
        for decoder in self._decoders:
            decoder.end_for_good()
        self._threads.shutdown(cancel_futures=True)
        for decoder in self._decoders:
            decoder.release()

    async def prepare(self, data: bytes) -> tuple[Prepared, float]:
        """The photo for all models; and the seconds that it took, without the wait for its turn.

        Raises Rejected as decode does, and when the decoder does not survive the photo. Raises Unavailable when no decoder can
        be started, Killed, and RuntimeError with the traceback of what else failed in one.
        """
        loop = asyncio.get_running_loop()
        with life().behind(self._life):
            return await loop.run_in_executor(self._threads, self._prepare, data)

    def _prepare(self, data: bytes) -> tuple[Prepared, float]:
        try:
            with self._company.beside_others():
                return self._try(data)
        except _Died as why:
            _LOG.warning("a decoder %s: its photo is tried once more", why.how)
        try:
            with self._company.alone():
                return self._try(data, new=True)
        except _Died as why:
            if why.outside:
                raise Killed from why
            raise Rejected(why.reason, f"decoder {why.how}") from why

    def _try(self, data: bytes, *, new: bool = False) -> tuple[Prepared, float]:
        """In an idle decoder, of which there are as many as threads. Raises Rejected, _Died or Unavailable."""
        decoder = self._idle.get()
        try:
            _make_ready(decoder, new=new)
            began = time.perf_counter()
            return decoder.prepare(data), time.perf_counter() - began
        except _Died as why:
            if self._closed:
                raise RuntimeError("the decoders were closed while a photo was decoded") from why
            raise
        finally:
            if not (decoder.running or self._closed):
                with contextlib.suppress(OSError, RuntimeError):  # it is tried again for the next photo
                    decoder.restart()
            self._idle.put(decoder)


def _make_ready(decoder: "_Decoder", *, new: bool) -> None:
    """Raises Unavailable."""
    if new:
        decoder.end()
    why: Exception = RuntimeError()
    for _ in range(_STARTS):
        try:
            if not decoder.running:
                decoder.restart()
            decoder.wait_ready()
        except (OSError, _Died) as error:
            why = error
        else:
            return
    raise Unavailable("decoders", f"none starts ({why})") from why


class Killed(Unavailable):
    """Two decoders in a row were killed from outside while they had the photo: the kernel is short of memory, say."""

    def __init__(self) -> None:
        super().__init__(
            "decoders",
            "they are killed: the machine may be short of memory (SAFELIGHT_DECODERS, SAFELIGHT_DECODER_BYTES)",
        )


class _Died(Exception):  # noqa: N818 (it is what a decoder did)
    """A decoder ended, or was ended, and it need not be the photo's fault."""

    def __init__(self, how: str, reason: Reason = Reason.DAMAGED_PHOTO, *, outside: bool = False) -> None:
        super().__init__(f"decoder {how}")
        self.how = how
        self.reason = reason
        self.outside = outside


class _Decoder:
    """A process that is started again when it ended. For one thread at a time, but for `end_for_good`."""

    def __init__(
        self, command: Sequence[str], models: Sequence[Model], limits: Limits, *, sign: Callable[[], None]
    ) -> None:
        numbers = (limits.memory_bytes, limits.cpu_seconds, os.getpid())
        self._command = [*command, *map(str, numbers), *(model.name for model in models)]
        self._layouts = layouts(models)
        self._wall_seconds = limits.wall_seconds
        self._sign = sign
        self._starting = threading.Lock()
        self._ended = False
        self._process, self._socket = self._started()

    def _started(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        self._ready = False
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as unless_started:
            unless_started.enter_context(ours)
            # By the kernel, not by settimeout: so a photo is one call, and not one for what the socket has room for.
            for end in (ours, theirs):  # most of an answer: its sender need not wait until it is read
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL)
            process = subprocess.Popen(
                self._command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,  # what a library prints is no answer
                env=_environment(),
                process_group=0,  # out of reach of Ctrl-C
            )
            unless_started.pop_all()
        return process, ours

    def restart(self) -> None:
        """It is not yet ready then. Raises OSError, and RuntimeError after `end_for_good`."""
        with self._starting:
            if self._ended:
                raise RuntimeError("the decoders are closed")
            self.end()
            self._socket.close()
            self._process, self._socket = self._started()

    @property
    def pid(self) -> int:
        """Of the last start."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def end(self) -> None:
        """At once, whatever it does."""
        self._process.kill()
        self._process.wait()

    def end_for_good(self) -> None:
        """In any thread: who speaks with it meanwhile finds it dead. `release` must follow."""
        with self._starting:
            self._ended = True
            self.end()

    def release(self) -> None:
        """Close its socket."""
        self._socket.close()

    def wait_ready(self) -> None:
        """Until it takes photos. Raises _Died."""
        if not self._ready:
            try:
                with self._watched(_START_SECONDS) as end:
                    if self._received(len(READY), end) != READY:
                        raise _Nonsense
            except Rejected as why:  # it had no photo yet
                raise _Died(f"{why.detail.removeprefix('decoder ')} before it had a photo") from why
            self._ready = True

    def prepare(self, data: bytes) -> Prepared:
        """Raises Rejected, _Died or RuntimeError."""
        with self._watched(self._wall_seconds) as end:
            self._send(REQUEST.pack(len(data)), end)
            self._send(data, end)
            kind, index, size = ANSWER.unpack(self._received(ANSWER.size, end))
            if kind == PREPARED and size <= LONGEST:
                return Prepared(*self._facts(size, end), self._inputs(end))
            if kind in (REJECTED, BUG) and index < len(REASONS) and size <= LONGEST_TEXT:
                text = self._received(size, end).decode(errors="replace")
                if kind == REJECTED:
                    raise Rejected(REASONS[index], "".join(char if char.isprintable() else "?" for char in text))
                raise RuntimeError(f"in a decoder:\n{text}")
            raise _Nonsense

    def _facts(self, size: int, end: float) -> tuple[Facts, Frame]:
        try:
            return unpack(self._received(size, end))
        except ValueError as error:
            raise _Nonsense from error

    def _inputs(self, end: float) -> list[Inputs]:
        return [{name: self._tensor(like, end) for name, like in layout.items()} for layout in self._layouts]

    def _tensor(self, like: Tensor, end: float) -> Tensor:
        tensor: Tensor = np.frombuffer(self._received(like.nbytes, end), like.dtype).reshape(like.shape)
        return tensor

    @contextmanager
    def _watched(self, wall_seconds: float) -> Iterator[float]:
        """The body speaks with the process until the time given to it, and says what became of it if it does not answer."""
        try:
            yield time.monotonic() + wall_seconds
        except _Late as late:
            self.end()
            raise _Died("ran out of time", Reason.OBJECT_TOO_LARGE) from late
        except (OSError, _Nonsense) as error:
            if isinstance(error, OSError):  # it ended, or is about to: of itself, so that it says how
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_LAST_SECONDS)
            outside = self._process.poll() == -signal.SIGKILL  # not ours, which comes now
            self.end()
            if self._process.returncode == -signal.SIGXCPU:
                raise Rejected(Reason.OBJECT_TOO_LARGE, "decoder ran out of time") from error
            if self._process.returncode == NO_MEMORY:
                raise Rejected(Reason.OBJECT_TOO_LARGE, "decoder ran out of memory") from error
            raise _Died("crashed", outside=outside) from error

    def _send(self, data: bytes, end: float) -> None:
        view = memoryview(data)
        while view:
            view = view[self._patiently(partial(self._socket.send, view), end) :]

    def _received(self, size: int, end: float) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = self._patiently(partial(self._socket.recv_into, view, flags=socket.MSG_WAITALL), end)
            if not count:
                raise ConnectionResetError("it ended")
            view = view[count:]
        return data

    def _patiently(self, step: Callable[[], int], end: float) -> int:
        """What a step on the socket gives, which may take until `end`. Who waits here is alive: it has an end."""
        while time.monotonic() < end:
            self._sign()
            with contextlib.suppress(BlockingIOError):  # _SIGN_SECONDS are over
                return step()
        raise _Late


class _Late(Exception):  # noqa: N818 (never leaves this module)
    """There was no answer in time."""


class _Nonsense(Exception):  # noqa: N818 (never leaves this module)
    """An answer that no decoder gives: it is no longer one."""


def _environment() -> dict[str, str]:
    """What Python needs to start, and nothing that might be a secret."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}


class _Company:
    """Many threads beside each other, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._many = 0
        self._one = False

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._one)
            self._many += 1
        try:
            yield
        finally:
            with self._changed:
                self._many -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._one)
            self._one = True
            self._changed.wait_for(lambda: not self._many)
        try:
            yield
        finally:
            with self._changed:
                self._one = False
                self._changed.notify_all()
