"""What a worker writes to stderr: its own lines, and little of what libraries say."""

import logging
import sys
import time
from collections.abc import Callable

_ONE_IN_SECONDS = 30.0


class Sparing(logging.Filter):
    """Of the same complaint one in half a minute: aiokafka has forty a second while a broker is away.

    The same is what comes from the same place in the code. The line that comes through says how many were left out before it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        # By place: when one came through, and how many were left out since.
        self._last: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it comes through."""
        place, now = (record.pathname, record.lineno), self._clock()
        when, left_out = self._last.get(place, (now - _ONE_IN_SECONDS, 0))
        if now - when < _ONE_IN_SECONDS:
            self._last[place] = when, left_out + 1
            return False
        self._last[place] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} such lines before)", ()
        return True


def log_to_stderr() -> None:
    """Ours from INFO on; of Faust's and aiokafka's errors those that do not end the worker, which ends with a line of its own."""
    sparing = Sparing()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.addFilter(lambda record: not record.exc_info)
    handler.addFilter(lambda record: not record.name.startswith("aiokafka") or sparing.filter(record))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("faust", "mode", "aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.ERROR)
