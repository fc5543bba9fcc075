"""A bug in an agent costs one photo, not a partition: failures of a batch are counted, and the third time its records are tried one by one.

The count lives in the note of the position (streams/position.py), for the process ends with every failure. With it stands the
last record of the batch that failed, since the next run's batches have other bounds: whatever they are, all records up to that
one are suspects, and each is a batch and a transaction of its own, because it must see what the one before has changed in
the state. The suspect that fails alone is the culprit: it is rejected as an internal error, and the rest goes on.

When several suspects in a row fail, the fault is not theirs: nothing more is rejected, the worker ends every time until it is
mended, and what waits is not lost.
"""

from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from confluent_kafka import KafkaException

from agents.batch import Batch
from agents.measure import Measure
from schemas.errors import StrangeWorld
from schemas.metrics import INTERNAL_ERRORS
from streams.blame import of_the_work, where
from streams.position import Position
from streams.threads import finish

_PATIENCE = 2
"""Failures of a whole batch, before its records are tried one by one: a failure can also be an accident."""

_MOST_IN_A_ROW = 10
"""Records of a partition that are rejected without a good one among them: a bug that all have in common must not drain a topic."""

T = TypeVar("T")


class Claimed(Protocol):
    """What is needed of a claim: streams/claim.py."""

    @property
    def position(self) -> Position:
        """What is committed."""

    def begin(self) -> None:
        """Begin a transaction."""

    def commit(self, position: Position) -> None:
        """Commit it with the position."""


@dataclass(frozen=True, slots=True)
class Made(Generic[T]):
    """What the work on some records comes to, the position to commit with it, and of a culprit why it was rejected."""

    result: T
    after: Position
    culprit: str = ""


class Tries:
    """The tries of one partition."""

    def __init__(self, claim: Claimed, *, threads: Executor, measure: Measure | None = None) -> None:
        self._claim = claim
        self._threads = threads
        self._measure = measure

    def parts(self, batch: Batch) -> Iterator[Batch]:
        """The batch as it is; while it has suspects, each of them alone, then the rest."""
        suspects = [record for record in batch.records if self._suspect(record.offset)]
        for record in suspects:
            yield replace(batch, records=[record])
        if rest := batch.records[len(suspects) :]:
            yield replace(batch, records=rest) if suspects else batch

    async def make(
        self,
        part: Batch,
        work: Callable[[Batch], Awaitable[T]],
        reject: Callable[[Batch, str], Awaitable[T]] | None,
    ) -> Made[T]:
        """What the work on a part comes to; of a culprit, what its rejection comes to.

        Any other error is raised, counted as a failed try if it is the work's.
        """
        position = self._claim.position
        try:
            return Made(await work(part), passed(position, part.next))
        except Exception as error:  # (whatever an agent raises is a bug of it: that is what is counted)
            if not of_the_work(error):
                raise
            if not self._suspect(part.next - 1):
                with suppress(KafkaException):  # then it is counted another time
                    await finish(self._threads, self._count, part.next - 1)
                raise
            if reject is None:
                raise
            why = where(error)
            if position.culprits >= _MOST_IN_A_ROW:
                raise StrangeWorld(
                    f"{part.topic}-{part.partition}: {position.culprits} records in a row failed, and so does {part.next - 1} ({why}): "
                    "that is not the records' fault; run a version without this fault, and redrive what was rejected as internal_error"
                ) from error
        if self._measure:
            self._measure.count(INTERNAL_ERRORS, topic=part.topic)
        return Made(await reject(part, why), passed(position, part.next, culprit=True), why)

    def _suspect(self, offset: int) -> bool:
        position = self._claim.position
        return position.tries >= _PATIENCE and offset <= position.suspect

    def _count(self, last: int) -> None:
        position = self._claim.position
        self._claim.begin()
        self._claim.commit(replace(position, tries=position.tries + 1, suspect=last))


def passed(position: Position, offset: int, *, culprit: bool = False) -> Position:
    """The position when the records before `offset` are done. The others of a batch that failed stay suspects."""
    culprits = position.culprits + 1 if culprit else 0
    if offset <= position.suspect:
        return replace(position, offset=offset, pending=None, culprits=culprits)
    return replace(position, offset=offset, pending=None, culprits=culprits, tries=0, suspect=-1)
