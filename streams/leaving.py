"""How a worker's process comes to its end: in order if that is possible in time, and within half a session in any case.

Whoever is asked to leave, or has failed, has until then: to let what is under way end and commit, to leave its group, so that
the others have its partitions at once, and to close what is open. What cannot be interrupted (a commit to a broker that does
not answer, say) is left as if the process had been killed: no guarantee rests on its end.
"""

import logging
import os
import sys
import threading
from datetime import timedelta
from typing import NoReturn

_LOG = logging.getLogger(__name__)

_BATCHES = 0.25
_STUCK_THREADS = 0.05
_IN_ORDER = 0.40
_LATEST = 0.47
"""Of a session: what is under way may end; then what was interrupted; then all else; then the process is over."""


def batches_seconds(session_seconds: float) -> float:
    """For what is under way to end by itself."""
    return session_seconds * _BATCHES


def threads_seconds(session_seconds: float) -> float:
    """For what was interrupted, and has to wait for a thread."""
    return session_seconds * _STUCK_THREADS


class Deadline:
    """The latest end of this process, from the first `begin` on."""

    def __init__(self, name: str, session: timedelta) -> None:
        self._name = name
        self._session = session.total_seconds()
        self._timer: threading.Timer | None = None
        self._said = False
        self._code = 1

    @property
    def in_order_seconds(self) -> float:
        """From the beginning on: for an end in order."""
        return self._session * _IN_ORDER

    @property
    def last_seconds(self) -> float:
        """Then, for the group to be told."""
        return self._session * (_LATEST - _IN_ORDER)

    def begin(self, why: str = "") -> None:
        """Count from now on, in a thread, so that nothing that blocks can hold it up. `why`: what to say if it comes to that."""
        if self._timer is None:
            self._timer = threading.Timer(self._session * _LATEST, self.over, (why,))
            self._timer.daemon = True
            self._timer.start()

    def ends(self, error: str) -> None:
        """Say in one line what the end is due to, if it is an error: the exit code is 1 then."""
        self._said = True
        self._code = 1 if error else 0
        if error:
            _LOG.error("%s ends: %s", self._name, error)

    def over(self, why: str) -> NoReturn:
        """End the process as it is."""
        if not self._said:
            self.ends(why or f"half a session ({self._session / 2:.1f} s) was not enough to end in order")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self._code)
