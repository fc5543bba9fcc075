"""Arming one boundary in one worker: what the worker does there, and that it has done it, over a page of shared memory."""

import mmap
import os
import signal
import struct
import threading
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from streams.step import Step

FETCHED = "fetched"  # an object of a batch is read
INFERRED = "inferred"  # a model has answered

_LOOK_SECONDS = 0.001

BOUNDARIES = (*(step.value for step in Step), FETCHED, INFERRED)
"""Where a worker can be armed. The last two are inside enrich's work, where no state changes hands."""


class Action(IntEnum):
    """What happens at the boundary."""

    KILL = 1  # SIGKILL
    STOP = 2  # SIGSTOP, until the harness wakes it
    LEAVE = 3  # SIGTERM: the worker ends in order
    HANG = 4  # the thread that is there sleeps, as if what it calls were slow
    WAIT = 5  # the thread that is there waits until the harness lets it go on, having done something to somebody else


@dataclass(frozen=True, slots=True)
class Charge:
    """An action at the `passes`-th time that a boundary is reached, `after` seconds; `seconds`: of a HANG, of a WAIT at most."""

    boundary: str
    action: Action
    passes: int = 1
    after: float = 0.0
    seconds: float = 0.0


class Arm:
    """A page that harness and worker share. The worker acts once, then it is disarmed."""

    _LAYOUT = struct.Struct("<BBBBHff")  # boundary + 1 (0: disarmed), action, fired, released, passes, after, seconds

    def __init__(self, path: Path) -> None:
        """Of the file at `path`, made when it is not there."""
        with path.open("a+b") as file:
            file.truncate(mmap.PAGESIZE)
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self._acting = threading.Lock()

    def charge(self, charge: Charge) -> None:
        """Arm it; the boundary is written last, which is what the worker looks at first."""
        which = BOUNDARIES.index(charge.boundary) + 1
        self._LAYOUT.pack_into(self._page, 0, 0, charge.action, 0, 0, charge.passes, charge.after, charge.seconds)
        self._page[0] = which

    def disarm(self) -> None:
        """Nothing happens any more, unless it is happening; nobody waits."""
        self._page[0] = 0
        self.release()

    def release(self) -> None:
        """Who waits at the boundary goes on."""
        self._page[3] = 1

    @property
    def fired(self) -> bool:
        """Whether the worker was at the boundary, and acts or has acted."""
        return bool(self._page[2])

    def reached(self, boundary: str) -> None:
        """In the worker, in the thread that is there: act if this is the boundary."""
        if self._page[0] == 0 or BOUNDARIES[self._page[0] - 1] != boundary:
            return
        with self._acting:
            armed, action, _, _, passes, after, seconds = self._LAYOUT.unpack_from(self._page)
            if armed == 0:
                return
            if passes > 1:
                struct.pack_into("<H", self._page, 4, passes - 1)
                return
            self._page[0] = 0
            self._page[2] = 1
        if after:  # in the middle of what comes next
            threading.Timer(after, self._act, (action, seconds)).start()
        else:
            self._act(action, seconds)

    def _act(self, action: int, seconds: float) -> None:
        match Action(action):
            case Action.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Action.STOP:
                os.kill(os.getpid(), signal.SIGSTOP)
            case Action.LEAVE:
                os.kill(os.getpid(), signal.SIGTERM)
            case Action.HANG:
                time.sleep(seconds)
            case Action.WAIT:
                end = time.monotonic() + seconds
                while not self._page[3] and time.monotonic() < end:
                    time.sleep(_LOOK_SECONDS)
