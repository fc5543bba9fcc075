"""Faust's transport, delivering batches: one message per partition and poll, its value that partition's run of records.

A partition is busy with one thing at a time: its claim, what was left pending, or a batch. The next batch comes when it is free.
Positions belong to the tasks (streams/task.py); Faust commits nothing.

**Nothing that was taken gets lost.** A fetch moves the partition's position in the consumer's own thread. Faust may interrupt whoever
waits for it, at the end of a process, and go on a moment later, when a rebalance that was under way ends: so the fetch is never
abandoned, and what it took and was not delivered yet is delivered next, if its epoch lasts.

**Epochs.** Every seek of a partition has a number, its epoch, noted in the consumer's own thread without an await between seek
and note, and records carry the epoch in which they were taken. So records from before a seek are never delivered after it. And
when records of the current epoch have to be dropped, because a rebalance has begun, the epoch is over: nothing of the
partition passes until it is sought again, and then from its task's position.

**Names in use that Faust does not promise** (its version is pinned; tests/unit/streams/test_consumer.py says of each what
breaks without it): Consumer._new_consumer_thread, _thread, _getmany, _get_active_partitions, _to_message, _read_offset; those
of the consumer's thread are in reader.py.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any, Protocol, cast

from aiokafka.errors import IllegalStateError, KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message

from agents.batch import Batch
from agents.life import life
from agents.measure import Measure
from schemas.metrics import BATCHES, RECORDS
from streams.leaving import batches_seconds, threads_seconds
from streams.reader import LOGGER, BatchThread, Taken
from streams.step import Step
from streams.watchdog import Watchdog

_BRIEFLY_SECONDS = 0.02
"""How long to wait for records of the free partitions while others are busy and may become free."""

_MANY = 500
"""Records that are there: nobody waits for more."""

_RESTS = 2
"""Times that a batch took, of one that rests at all: on a busy machine, where everything takes longer, fewer and larger batches help."""


class Task(Protocol):
    """A claimed partition: streams/task.py and streams/pending.py have them."""

    @property
    def position(self) -> int:
        """The offset of the next record to read."""

    async def settle(self) -> None:
        """Finish what was left half done, before anything new."""

    async def run(self, batch: Batch) -> None:
        """Work on a batch and commit it."""

    def close(self) -> None:
        """Let go of it. Blocking."""


class Host(Protocol):
    """What the consumer needs of the app around it: streams/app.py."""

    @property
    def measure(self) -> Measure:
        """Takes measurements."""

    def contract_name(self, topic: str) -> str:
        """The name in schemas/topics.py of a topic on the broker."""

    def rest_seconds(self, topic: str) -> float:
        """How far apart batches of a partition begin at least, by the contract's name of its topic; 0: no rest."""

    async def claim(self, tp: TP) -> Task:
        """Claim a partition. Never abandoned: cancelled, it still returns what it claimed."""

    async def close_task(self, task: Task) -> None:
        """Close a task, in another thread."""

    def claimed(self) -> None:
        """All partitions of an assignment are claimed, be they none."""

    def reached(self, step: Step) -> None:
        """A boundary is reached."""

    async def failed(self, error: Exception) -> None:
        """End the process."""


class Forgetful(dict[TP, int | None]):
    """Faust's last read offsets, below which it drops messages, and whose gaps it collects: positions are not its business."""

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        return None


class BatchConsumer(driver.Consumer):
    """Delivers batches, and has the tasks of the partitions that are ours."""

    logger = LOGGER
    _thread: BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.host = cast(BatchTransport, self.transport).host
        self.tasks: dict[TP, Task] = {}
        self._busy: dict[TP, asyncio.Task[None] | Batch] = {}  # a Batch: delivered, and its work has not begun yet
        self._freed = asyncio.Event()
        self._fetch: asyncio.Future[Any] | None = None  # under way, or not fetched from
        self._taken: dict[TP, Taken] = {}  # and not delivered
        self._resting: set[asyncio.Task[None]] = set()  # of those that are busy: nothing is in hand
        self._epochs: dict[TP, int] = {}
        self._next_epoch = count(1).__next__
        self._read_offset = Forgetful()
        self.watchdog = Watchdog()

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    # Delivering

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 (Faust calls it so)
        """The next batch of every partition that is free and has records."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        if not self._taken:
            active = self._get_active_partitions()
            free = {tp for tp in active if tp not in self._busy}
            if not free:
                await self._until_freed(timeout)
                return
            self._taken = await self._take(free, timeout if len(free) == len(active) else _BRIEFLY_SECONDS)
        while self._taken:
            tp, (epoch, records) = self._taken.popitem()
            if epoch != self._epochs.get(tp):
                continue  # from before the last seek: they come again
            if not self.flow_active or self.should_stop:
                del self._epochs[tp]
                continue
            batch = Batch(self.host.contract_name(tp.topic), tp.partition, records)
            message: Any = self._to_message(tp, records[-1])
            message.key, message.value = None, batch
            self._busy[tp] = batch
            self.watchdog.expect(tp)
            yield tp, message

    async def _take(self, free: set[TP], seconds: float) -> dict[TP, Taken]:
        """What a fetch takes; if the last one was waited for in vain, what that one takes."""
        if self._fetch is None:
            self._fetch = asyncio.ensure_future(self._getmany(free, seconds))
        try:
            taken = cast(Mapping[TP, Taken], await asyncio.shield(self._fetch))
        except Exception:
            self._fetch = None
            raise
        self._fetch = None  # not when interrupted
        return dict(taken)

    async def _until_freed(self, seconds: float) -> None:
        self._freed.clear()
        try:
            await asyncio.wait_for(self._freed.wait(), seconds)
        except TimeoutError:
            await self._thread.call_thread(self._thread.seen)

    def work(self, tp: TP, batch: Batch) -> None:
        """Begin the work on a delivered batch, unless its partition was given up since."""
        if self._busy.get(tp) is batch:
            self._begin(tp, self._work, tp, batch)

    async def _work(self, tp: TP, batch: Batch) -> None:
        began = time.monotonic()
        await self.tasks[tp].run(batch)
        seconds = time.monotonic() - began
        self.host.measure.observe(BATCHES, seconds, topic=batch.topic)
        self.host.measure.count(RECORDS, len(batch.records), topic=batch.topic)
        if rest := self.host.rest_seconds(batch.topic):
            await self._rest(tp, max(rest - seconds, _RESTS * seconds))

    async def _rest(self, tp: TP, seconds: float) -> None:
        """Let records gather for the next batch, unless many are there already. Whoever settles the partition ends it."""
        resting = cast(asyncio.Task[None], asyncio.current_task())
        self._resting.add(resting)
        try:
            ends = await self._thread.call_thread(self._thread.ends, [tp])
            taken, end = ends.get(tp, (0, 0))
            if end - taken < _MANY:
                with life().wait():
                    await asyncio.sleep(seconds)
        finally:
            self._resting.discard(resting)

    async def lag(self) -> dict[TP, int]:
        """How many records of each claimed partition are not committed yet, a transaction's markers at the end aside."""
        claimed = [tp for tp in self._epochs if tp in self.tasks]
        if not claimed:
            return {}
        ends = await self._thread.call_thread(self._thread.ends, claimed)
        # What a free partition has taken is committed, or a marker, which is never delivered.
        return {
            tp: end - (self.tasks[tp].position if tp in self._busy else max(self.tasks[tp].position, taken))
            for tp, (taken, end) in ends.items()
            if tp in self.tasks
        }

    async def free(self) -> dict[TP, int]:
        """Which offset each claimed partition that has nothing to do comes to next."""
        free = [tp for tp in self.tasks if tp not in self._busy]
        ends = await self._thread.call_thread(self._thread.ends, free)
        return {
            tp: max(self.tasks[tp].position, ends[tp][0] if tp in ends else 0)
            for tp in free
            if tp in self.tasks and tp not in self._busy
        }

    async def leave(self, within_seconds: float) -> None:
        """Tell the group that we are gone, whatever else is under way; if the broker does not answer in time, never mind."""
        there = self._thread.thread_loop
        if there.is_closed():
            return
        told = asyncio.run_coroutine_threadsafe(self._thread.leave(), there)
        with suppress(KafkaError, ConsumerNotStarted, TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(told), within_seconds)

    # Being busy

    def _begin(self, tp: TP, call: Callable[..., Awaitable[None]], *args: Any) -> None:
        async def busy() -> None:
            try:
                with self.watchdog.work(tp):
                    await call(*args)
            except Exception as error:  # noqa: BLE001 (whatever it is, the process ends by it)
                await self.host.failed(error)
            finally:
                if self._busy.get(tp) is asyncio.current_task():
                    del self._busy[tp]
                    self._freed.set()

        self._busy[tp] = asyncio.create_task(busy())

    async def _settle(self, seconds: float, patience_seconds: float | None = None) -> None:
        """All epochs are over. Let what is under way end for so long, then interrupt it, and wait until it has heard that.

        A commit that has begun does not hear: it is waited for, unless there is an end to patience; then it stays busy.
        """
        self._epochs.clear()
        for resting in self._resting:
            resting.cancel()
        # What was delivered and is not begun never will. Only what is there now: while we wait, partitions may be sought again.
        self._busy = {tp: busy for tp, busy in self._busy.items() if isinstance(busy, asyncio.Task)}
        under_way = [busy for busy in self._busy.values() if isinstance(busy, asyncio.Task)]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=seconds)
            for busy in late:
                busy.cancel()
            if late:
                await asyncio.wait(late, timeout=patience_seconds)
        self._busy = {tp: busy for tp, busy in self._busy.items() if busy not in under_way or not busy.done()}
        if not self._busy:
            self.watchdog.forget()

    # Assignments

    async def wait_empty(self) -> None:
        """Before partitions are taken away: at most half a session for what is under way. Before the end, less: leaving.py."""
        session = self.app.conf.broker_session_timeout
        if self.app.should_stop:
            await self._settle(batches_seconds(session), threads_seconds(session))
        else:
            await self._settle(session / 2)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Close the tasks of the partitions that did not come back, before another worker's or our own next claim."""
        await self._settle(0)
        self.host.reached(Step.REBALANCING)
        for tp in set(self.tasks) - assigned:
            await self.host.close_task(self.tasks.pop(tp))
        await super().on_partitions_assigned(assigned, generation_id)
        if not assigned:
            self.host.claimed()

    async def perform_seek(self) -> None:
        """After an assignment: take up every partition, each by itself."""
        await self._settle(0)
        for tp in self.assignment() - self._busy.keys():
            self._begin(tp, self._take_up, tp)

    async def _take_up(self, tp: TP) -> None:
        """Claim the partition if it is new, finish what was left pending, and go to its position."""
        if tp not in self.tasks:
            self.tasks[tp] = await self.host.claim(tp)
        if cast(asyncio.Task[None], asyncio.current_task()).cancelling():
            return  # taken away while it was claimed: the next assignment sees to it
        if self.tasks.keys() >= self.assignment():
            self.host.claimed()
        task = self.tasks[tp]
        await task.settle()  # before the seek: records from behind it may come at once, by a fetch that is under way
        epoch = self._epochs[tp] = self._next_epoch()  # known here before any record can carry it
        with suppress(IllegalStateError):  # taken away meanwhile
            await self._thread.call_thread(self._thread.seek_to, tp, task.position, epoch)

    async def on_stop(self) -> None:
        """Give up the tasks, when the last commit is done."""
        await super().on_stop()
        self.host.reached(Step.STOPPING)
        while self.tasks:
            tp, task = self.tasks.popitem()
            if tp not in self._busy:  # else a thread is at it still, and the process's end will be its end
                await self.host.close_task(task)

    # Faust's own bookkeeping, which has nothing to do here

    async def commit(self, topics: Iterable[Any] | None = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        """Nothing: positions are committed with what they stand for."""
        return False

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: it would look for Faust's own commits."""


class BatchTransport(driver.Transport):
    """Kafka, through aiokafka, in batches."""

    Consumer = BatchConsumer

    def __init__(self, *args: Any, host: Host, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.host = host
