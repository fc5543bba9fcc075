"""Exactly once, in effect, into ClickHouse, which has no part in Kafka's transactions: inserts that are safe to repeat.

Before rows are sent, the range of records that they come from is committed as pending, with the position unmoved. Whoever has
the partition then, after whatever kill, reads exactly that range and sends it again, and ClickHouse drops by its token what it
has. It remembers a number of tokens (replicated tables also for a time): so inserts are paced, and a range that has been
pending for too long is not sent.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition

from agents.batch import Batch, Record
from agents.measure import Measure
from agents.retry import Retry
from schemas.errors import StrangeWorld
from schemas.metrics import INSERT, ROWS
from schemas.tables import Rows, Table
from streams.blame import of_the_work, where
from streams.claim import Claim, Source
from streams.pace import Pace
from streams.position import Allowance, Pending, Position
from streams.standalone import log_of, reading
from streams.standing import expired, overdue
from streams.step import Reached, Step, unwatched
from streams.telemetry import timed
from streams.threads import finish
from streams.tries import Tries, passed

_LOG = logging.getLogger(__name__)

_SILENCE_SECONDS = 30.0
_AT_ONCE = 1000  # records taken together


class Writer(Protocol):
    """What writes rows: sinks/clickhouse/writer.py."""

    def prepare(self, rows: Rows) -> bytes:
        """The rows as they are sent. Raises Refused when they do not fit their table: before anything is pending."""

    async def insert(self, table: Table, block: bytes, token: str) -> None:
        """Send them; harmless when they are there already. Raises Unavailable or Refused."""


@dataclass(frozen=True, slots=True)
class Sink:
    """What store does with a batch: records to rows (at most one Rows a table), and who writes those.

    `culprit`: the rows of one record on which that fails every time, by a detail and a time (agents/culprit.py). `entries`: the
    table that has rows of a partition (topic, number) already, "" if none has.
    """

    rows: Callable[[Batch], list[Rows]]
    writer: Writer
    retry: Retry
    culprit: Callable[[Batch, str, datetime], list[Rows]] | None = None
    entries: Callable[[str, int], Awaitable[str]] | None = None


Blocks = Sequence[tuple[Rows, bytes]]
"""Rows, and what the writer made of them."""


class PendingTask:
    """A claimed partition of an agent that reads from Kafka and writes to ClickHouse."""

    def __init__(
        self,
        claim: Claim,
        sink: Sink,
        *,
        topic: str,
        read: Callable[[Source, int, int], list[Record]],
        longest: timedelta,
        threads: Executor,
        measure: Measure,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pace: Callable[[Allowance | None], Callable[[], Awaitable[Allowance | None]]] = Pace,
        reached: Reached = unwatched,
    ) -> None:
        """`topic`: the contract's name; `read`: a range of records (see `read_range`); `longest`: that a range may be pending."""
        self._claim = claim
        self._sink = sink
        self._topic = topic
        self._read = read
        self._longest = longest
        self._pace = pace(claim.position.allowance)
        self._threads = threads
        self._measure = measure
        self._clock = clock
        self._tries = Tries(claim, threads=threads, measure=measure)
        self._reached = reached

    @property
    def position(self) -> int:
        """The offset of the next record to read: behind what is pending, which `settle` sees to."""
        position = self._claim.position
        return position.pending.last + 1 if position.pending else position.offset

    async def settle(self) -> None:
        """Finish what was pending when the partition's last owner, or we ourselves, were interrupted.

        Raises StrangeWorld when there is no position, and yet rows of the partition are there.
        """
        await self._check_begun()
        position, pending = self._claim.position, self._claim.position.pending
        if pending is None:
            return
        records = await finish(self._threads, self._read, self._claim.source, position.offset, pending.last)
        batch = Batch(self._topic, self._claim.source.partition, records)
        try:
            blocks = await self._blocks(pending, batch, pending.culprit)
        except Exception as error:  # (whatever store raises is a bug of it)
            if of_the_work(error):
                # No record can be left out here: others of the range may be there already, under the range's token.
                _LOG.error(
                    "%s: rows of offsets %s to %s are pending since %s, and this version fails on them (%s). If it goes on: run the "
                    "version that made them, or one without this fault, within %s; nothing is lost meanwhile",
                    *(self._claim.source, position.offset, pending.last, pending.since, where(error), self._longest),
                )
            raise
        await self._insert(blocks)
        await self._commit(passed(position, pending.last + 1, culprit=bool(pending.culprit)))

    async def _check_begun(self) -> None:
        if self._sink.entries is None or self._claim.committed:
            return
        look = partial(self._sink.entries, self._topic, self._claim.source.partition)
        if table := await self._sink.retry(look):
            raise self._claim.refusal(expired(f"ClickHouse's {table}"))

    async def run(self, batch: Batch) -> None:
        """Work on a batch and commit it; when it has failed before, by parts (streams/tries.py)."""
        for part in self._tries.parts(batch):
            await self._run(part)
            await asyncio.sleep(
                0
            )  # a stop is heard between two parts, though all their waiting was for what is never abandoned

    async def _run(self, part: Batch) -> None:
        """1. rows  2. commit the same position with the range pending  3. INSERT, with a token of the range  4. commit the next position."""
        self._reached(Step.READ)
        # 1. rows
        pending = Pending(part.next - 1, self._clock())
        made = await self._tries.make(
            part, partial(self._blocks, pending), partial(self._blocks, pending) if self._sink.culprit else None
        )
        self._reached(Step.WORKED)
        if made.result:
            allowance = await self._pace()
            made = replace(made, after=replace(made.after, allowance=allowance))
            # 2. commit the same position with the range pending
            pending = replace(pending, culprit=made.culprit)
            await self._commit(replace(self._claim.position, pending=pending, allowance=allowance))
            self._reached(Step.PENDING)
            # 3. INSERT, with a token of the range
            await self._insert(made.result)
            self._reached(Step.INSERTED)
        # 4. commit the next position
        await self._commit(made.after)
        self._reached(Step.COMMITTED)

    def close(self) -> None:
        """Nothing is held but the claim."""

    async def _blocks(self, pending: Pending, batch: Batch, culprit: str = "") -> Blocks:
        """What to send of a batch, or of its one record's rejection: the same whenever the same is pending."""
        return await finish(self._threads, self._prepare, batch, culprit, pending.since)

    def _prepare(self, batch: Batch, culprit: str, at: datetime) -> Blocks:
        sink = self._sink
        rows = sink.culprit(batch, culprit, at) if culprit and sink.culprit else sink.rows(batch)
        return [(of_table, sink.writer.prepare(of_table)) for of_table in rows]

    async def _commit(self, position: Position) -> None:
        def commit() -> None:
            self._claim.begin()
            self._claim.commit(position)

        await finish(self._threads, commit)

    async def _insert(self, blocks: Blocks) -> None:
        for rows, block in blocks:
            table = rows.table
            token = self._token(table)

            async def insert(table: Table = table, block: bytes = block, token: str = token) -> None:
                self._check_age()
                self._reached(Step.INSERTING)
                with timed(self._measure, INSERT, table=table.name):
                    await self._sink.writer.insert(table, block, token)

            await self._sink.retry(insert)
            self._measure.count(ROWS, len(rows.values), table=table.name)

    def _token(self, table: Table) -> str:
        """The same for the same rows, and for no others: the topic's id tells it from one made anew under the same name."""
        source, position = self._claim.source, self._claim.position
        last = position.pending.last if position.pending else None
        return f"{source.topic_id}:{source.partition}:{position.offset}-{last}:{table.name}"

    def _check_age(self) -> None:
        """Raises StrangeWorld when ClickHouse may have forgotten that it has the rows: sending them could double them."""
        pending = self._claim.position.pending
        if pending and self._clock() - pending.since > self._longest:
            raise self._claim.refusal(overdue(self._claim.position.offset, pending, self._longest))


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """A record of a pending range."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int


def read_range(brokers: str, source: Source, first: int, last: int) -> list[Record]:
    """The committed records from `first` to `last`, of which at least `last` is there. Blocking.

    Raises StrangeWorld when the log does not have them any more.
    """
    # Its end says nothing here: after a broker's restart it may lag, and `last` is known to be there.
    config = {"auto.offset.reset": "error", "enable.partition.eof": False}
    with reading(brokers, config) as consumer:
        low = log_of(consumer, source.topic, source.partition).begin
        if low > first:
            raise StrangeWorld(
                f"rows of {source}, offsets {first} to {last}, are pending, and the log begins at {low} by now: start the worker "
                "again, and it names the command that accepts the loss"
            )
        consumer.assign([TopicPartition(source.topic, source.partition, first)])
        return list(_up_to(last, consumer))


def _up_to(last: int, consumer: Consumer) -> Iterator[Record]:
    heard = time.monotonic()
    while time.monotonic() - heard < _SILENCE_SECONDS:
        for message in consumer.consume(_AT_ONCE, 0.1):
            if error := message.error():
                raise KafkaException(error)
            heard = time.monotonic()
            record = ReadAgain(message.key(), message.value(), message.offset() or 0, message.timestamp()[1])
            yield record
            if record.offset >= last:
                return
    raise TimeoutError(f"no record for {_SILENCE_SECONDS:.0f} s, before the end of a pending range")
