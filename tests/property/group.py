"""A worker's consumer, with the rest of its group and the broker in memory: what happens between the two goes on step by step.

What it stands for, and where that is written down:

- the consumer's thread takes calls in their order, and an answer is on its way for a time; a call that was cancelled before its turn
  is not made (mode.threads.MethodQueue)
- a fetch that was begun before a rebalance may end long after it, with records from behind the seek (fetched_records waits for the
  assignment, and then for records)
- aiokafka gives records from a partition's position on, and moves it; a partition that is newly assigned begins at the committed
  position, sought or not (aiokafka.consumer.fetcher)
- in a rebalance the flow stops, and what is under way is waited for; then others have the partitions; then the assignment is heard;
  then, by itself, the flow goes on, even if the group rebalances again meanwhile (faust.App._on_partitions_revoked,
  faust.tables.recovery.Recovery._resume_streams)
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import aiokafka
from aiokafka.errors import IllegalStateError
from confluent_kafka import KafkaError, KafkaException
from faust.types import TP

from agents.batch import Batch
from agents.measure import Measure
from streams.step import Step
from streams.threads import finish
from tests.property.machine import Broken, promised
from tests.support.batches import Counted
from tests.support.stepping import Loop, Process

MOST_RECORDS = 3  # of a partition, in one fetch


class Accident(Exception):  # noqa: N818 (what it is)
    """A bug, or whatever else ends a batch and the process."""


class Partitions:
    """What the broker has: logs with gaps, committed positions, and who has claimed a partition last."""

    def __init__(self, tps: list[TP]) -> None:
        self.logs: dict[TP, list[int]] = {tp: [*range(10), *range(11, 20)] for tp in tps}
        self.committed = dict.fromkeys(tps, 0)
        self.owner: dict[TP, object] = {}
        self.accidents = 0  # to come
        self.pending = set(tps)
        """Where the last owner was interrupted, and has left something to settle."""

    def append(self, tp: TP, gaps: list[int]) -> None:
        for gap in gaps:
            self.logs[tp].append(self.logs[tp][-1] + 1 + gap)

    def readable(self, tp: TP, offset: int) -> list[int]:
        return [there for there in self.logs[tp] if there >= offset]

    def commit(self, tp: TP, owner: object, position: int) -> None:
        if self.owner[tp] is not owner:
            raise KafkaException(KafkaError(KafkaError._FENCED, "claimed by another", fatal=True))
        self.committed[tp] = position
        self.pending.discard(tp)


class Task:
    """A claimed partition. Raises Broken when it is given anything but the log's next records, one thing at a time."""

    def __init__(self, tp: TP, partitions: Partitions, process: Process) -> None:
        self.position = partitions.committed[tp]
        partitions.owner[tp] = self
        self._tp = tp
        self._partitions = partitions
        self._process = process
        self.at = ""

    async def settle(self) -> None:
        if self._tp in self._partitions.pending:
            await self._do("settles", self._process.pause())
            self._partitions.pending.discard(self._tp)

    async def run(self, batch: Batch) -> None:
        offsets = [record.offset for record in batch.records]
        should = self._partitions.readable(self._tp, self.position)[: len(offsets)]
        promised("a batch is the log's next records", offsets == should, offsets, should)
        await self._do("works", self._work(batch))

    async def _work(self, batch: Batch) -> None:
        await self._process.pause()
        if self._partitions.accidents:
            self._partitions.accidents -= 1
            raise Accident
        self._partitions.pending.add(self._tp)
        await finish(self._process, self._commit, batch.next)

    def _commit(self, position: int) -> None:
        self._process.reached(Step.POSITIONED)
        self._partitions.commit(self._tp, self, position)
        self.position = position

    async def _do(self, what: str, coroutine: Any) -> None:
        try:
            promised("a partition has one thing to do at a time", not self.at, self.at, what)
            self.at = what
            await coroutine
        finally:
            coroutine.close()
            self.at = ""

    def close(self) -> None:
        promised("nothing is at work on what is closed", not self.at, self.at)
        self.at = "closed"


class InOrder(set[TP]):
    """Partitions that are always gone through in the same order, whatever their hashes are in this process."""

    def __iter__(self) -> Iterator[TP]:
        return iter(sorted(super().__iter__()))


class Aiokafka:
    """aiokafka's consumer and its fetcher."""

    _closed = False
    _max_poll_records = MOST_RECORDS

    def __init__(self, partitions: Partitions, loop: Loop) -> None:
        self.assigned: set[TP] = set()
        self.network = Process(loop)
        self._partitions = partitions
        self._positions: dict[TP, int] = {}
        self._fetcher = self._subscription = self._subscriptions = self

    def fetch_context(self) -> Any:
        return nullcontext()

    def assign(self, tps: set[TP]) -> None:
        self.assigned = tps
        self._positions = {tp: self._partitions.committed[tp] for tp in tps}

    def assignment(self) -> set[TP]:
        return InOrder(self.assigned)

    def seek(self, tp: TP, offset: int) -> None:
        if tp not in self.assigned:
            raise IllegalStateError(f"no {tp}")
        self._positions[tp] = offset

    async def fetched_records(self, tps: set[TP], timeout: float, max_records: int) -> dict[TP, list[Any]]:  # noqa: ASYNC109 (as aiokafka's)
        await self.network.pause()
        taken = {}
        for tp in sorted(tps & self.assigned):
            if offsets := self._partitions.readable(tp, self._positions[tp])[:max_records]:
                self._positions[tp] = offsets[-1] + 1
                taken[tp] = [aiokafka.ConsumerRecord(*tp, offset, 0, 1, b"", b"", None, 0, 0, ()) for offset in offsets]
        return taken


class Calls:
    """Calls to the consumer's thread, in their order, and their answers."""

    def __init__(self, loop: Loop) -> None:
        self.answers = Process(loop)
        self._loop = loop
        self._waiting: deque[tuple[asyncio.Future[Any], Callable[[], Any]]] = deque()
        self._made: set[asyncio.Task[None]] = set()

    async def __call__(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        promise: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((promise, lambda: call(*args, **kwargs)))
        return await promise

    def go_on(self) -> None:
        """Make the next one."""
        if self._waiting:
            promise, call = self._waiting.popleft()
            if not promise.cancelled():
                self._made.add(self._loop.create_task(self._make(promise, call)))
                self._loop.idle()

    async def _make(self, promise: asyncio.Future[Any], call: Callable[[], Any]) -> None:
        try:
            result, error = await call(), None
        except IllegalStateError as why:
            result, error = None, why
        await self.answers.pause()
        if promise.done():
            return
        if error:
            promise.set_exception(error)
        else:
            promise.set_result(result)


class Host:
    """The app, as its consumer sees it."""

    measure: Measure = Counted()

    def __init__(self, partitions: Partitions, process: Process) -> None:
        self.failure: Exception | None = None
        self.crash: Callable[[BaseException], None]
        self._partitions = partitions
        self._process = process

    def contract_name(self, topic: str) -> str:
        return topic

    def rest_seconds(self, topic: str) -> float:
        return 0.0

    async def claim(self, tp: TP) -> Task:
        return await finish(self._process, Task, tp, self._partitions, self._process)

    async def close_task(self, task: Task) -> None:
        await finish(self._process, task.close)

    def claimed(self) -> None:
        """Nobody asks."""

    def reached(self, step: Step) -> None:
        """Nobody watches."""

    async def failed(self, error: Exception) -> None:
        """As mode's crash: every service of the process stops at once."""
        if self.failure is None or isinstance(error, Broken):
            self.failure = error
        self.crash(error)
