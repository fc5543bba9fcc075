"""Of an error: is it the work's, and where in our code was it raised; never in words that could quote people's data."""

import errno
import traceback
from pathlib import Path

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from schemas.errors import StrangeWorld, Unavailable

_ROOT = Path(__file__).parents[1]

_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EIO, errno.EROFS)
"""What the system says when it is out of files, room or memory, or broken: no record is to blame for that."""


def of_the_work(error: Exception) -> bool:
    """Whether an error that came out of the work on a batch is a bug in that work, and so possibly one record's.

    Not when Kafka, the machine or the world around is to blame: that would be so with every record.
    """
    if isinstance(error, OSError) and error.errno in _MACHINE:
        return False
    return not isinstance(error, StrangeWorld | Unavailable | KafkaException | KafkaError)


def where(error: BaseException) -> str:
    """`KeyError at agents/group.py:41 in _stamp`: the kind of the error, and the innermost place of our own code."""
    kind = type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if ours(frame.filename)]
    for frame in (mine or frames)[-1:]:
        return f"{kind} at {place(frame.filename)}:{frame.lineno} in {frame.name}"
    return kind


def ours(filename: str) -> bool:
    """Whether a file is the project's own; not what is installed in a folder of it."""
    return Path(filename).is_relative_to(_ROOT) and ".venv" not in filename


def place(filename: str) -> str:
    """A file of ours by its path in the project, another by its name."""
    path = Path(filename)
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else path.name
