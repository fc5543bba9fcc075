"""The boundaries in the life of a task: between any two of them the process may die, and nothing is lost or doubled."""

from collections.abc import Callable
from enum import StrEnum


class Step(StrEnum):
    """What has just been done, or is about to be."""

    # Of a partition
    REBALANCING = "rebalancing"  # what was under way has ended, and no partition is claimed yet
    CLAIMING = "claiming"  # the last owner is fenced, and the position not known yet
    RESTORING = "restoring"  # some of the changelog is in the local store
    STOPPING = "stopping"  # the group is left, and the tasks are still open

    # Of a batch (streams/task.py)
    READ = "read"
    WORKED = "worked"
    BEGUN = "begun"
    PUBLISHED = "published"  # outputs and changes
    POSITIONED = "positioned"  # the position is in the transaction, which is open
    COMMITTED = "committed"
    APPLIED = "applied"

    # Of a batch for ClickHouse (streams/pending.py)
    PENDING = "pending"
    INSERTING = "inserting"  # one table's rows are about to be sent
    INSERTED = "inserted"  # the rows of all tables


Reached = Callable[[Step], None]
"""Called at each boundary, in the thread that is there: where a test ends the process, or holds it up."""


def unwatched(_: Step) -> None:
    """Nobody watches the boundaries."""
