import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from agents.batch import Batch
from agents.retry import Retry
from schemas.errors import Refused, StrangeWorld, Unavailable
from schemas.metrics import INSERT, ROWS
from schemas.tables import Rows, Table
from streams.claim import Source
from streams.pace import AT_ONCE, Pace
from streams.pending import PendingTask, ReadAgain, Sink
from streams.position import Pending, Position
from streams.standing import refusal
from tests.support.builders import NOON

pytestmark = pytest.mark.unit

SOURCE = Source("ns.photos.grouped", "topic-id", 3)
START = Position(10, "topic-id")
ONE, OTHER = Table("one", ("offset",)), Table("other", ("offset",))


def record(offset):
    return ReadAgain(None, b"", offset, 0)


def batch(*offsets):
    return Batch("photos.grouped", 3, [record(offset) for offset in offsets])


def rows(batch):
    """Each record is a row of one table; those with an even offset of the other too."""
    tables = {ONE: batch.records, OTHER: [record for record in batch.records if record.offset % 2 == 0]}
    return [Rows(table, [(record.offset,) for record in records]) for table, records in tables.items() if records]


@dataclass
class Kafka:
    """A claim; `source`'s log is `offsets`."""

    journal: list
    position: Position = START
    source: Source = SOURCE
    committed: bool = True
    offsets: tuple = (10, 11, 13, 14, 20)

    def begin(self):
        pass

    def commit(self, position):
        pending = position.pending
        self.journal.append(("pending", position.offset, pending.last) if pending else ("next", position.offset))
        self.position = position

    def refusal(self, fault):
        return refusal("safelight-store", self.source.topic, self.source.partition, fault)

    def read(self, source, first, last):
        assert source == SOURCE
        return [record(offset) for offset in self.offsets if first <= offset <= last]


@dataclass
class ClickHouse:
    """A writer that drops what it has by its token."""

    journal: list
    down: int = 0
    answer_lost: bool = False
    hang: bool = False
    refuse: bool = False
    blocks: dict = field(default_factory=dict)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def prepare(self, rows):
        if self.refuse:
            raise Refused(rows.table.name, "too long")
        return repr([value for (value,) in rows.values]).encode()

    async def insert(self, table, block, token):
        self.asked.set()
        if self.hang:
            await asyncio.Event().wait()
        if self.down:
            self.down -= 1
            raise Unavailable("clickhouse", "down")
        self.journal.append(("insert", table.name, block, token))
        self.blocks.setdefault(token, block)
        if self.answer_lost:
            self.answer_lost = False
            raise Unavailable("clickhouse", "the answer was lost")


@dataclass
class Measured:
    counts: dict = field(default_factory=dict)
    observed: list = field(default_factory=list)

    def count(self, metric, amount=1, **labels):
        key = (metric, *labels.values())
        self.counts[key] = self.counts.get(key, 0) + amount

    def observe(self, metric, seconds, **labels):
        self.observed.append((metric, *labels.values()))


class World:
    def __init__(self, threads):
        self.threads = threads
        self.journal = []
        self.kafka = Kafka(self.journal)
        self.clickhouse = ClickHouse(self.journal)
        self.measure = Measured()
        self.now = NOON

    def task(self, rows=rows, culprit=None, entries=None, pace=None):
        async def no_time(*seconds):
            return None

        return PendingTask(
            self.kafka,
            Sink(rows, self.clickhouse, Retry("clickhouse", sleep=no_time), culprit, entries),
            topic="photos.grouped",
            read=self.kafka.read,
            longest=timedelta(hours=1),
            threads=self.threads,
            measure=self.measure,
            clock=lambda: self.now,
            pace=pace or (lambda _: no_time),
        )


@pytest.fixture
def world():
    with ThreadPoolExecutor(1) as threads:
        yield World(threads)


async def test_what_is_left_of_its_inserts_goes_with_the_partition(world):
    await world.task(pace=Pace).run(batch(10))
    await world.task(pace=Pace).run(batch(11))
    left = world.kafka.position.allowance.left
    assert left == pytest.approx(AT_ONCE - 2, abs=1)
    await world.task(lambda _: [], pace=Pace).run(batch(13))
    assert world.kafka.position.allowance.left == left, "what was not inserted costs nothing"


async def test_a_range_is_pending_before_it_is_inserted_and_done_after(world):
    task = world.task()
    await task.run(batch(10, 11, 13))
    assert world.journal == [
        ("pending", 10, 13),
        ("insert", "one", b"[10, 11, 13]", "topic-id:3:10-13:one"),
        ("insert", "other", b"[10]", "topic-id:3:10-13:other"),
        ("next", 14),
    ]
    assert task.position == 14
    assert world.measure.counts == {(ROWS, "one"): 3, (ROWS, "other"): 1}
    assert world.measure.observed == [(INSERT, "one"), (INSERT, "other")]


async def test_an_insert_whose_answer_got_lost_is_repeated_as_it_was(world):
    world.clickhouse.answer_lost = True
    await world.task().run(batch(11))
    first, again = [line for line in world.journal if line[0] == "insert"]
    assert first == again


async def test_an_outage_is_waited_out(world):
    world.clickhouse.down = 20
    await world.task().run(batch(10))
    assert world.journal[-1] == ("next", 11)


async def test_a_batch_without_rows_is_never_pending(world):
    task = world.task()
    task._sink = Sink(lambda _: [], world.clickhouse, Retry("clickhouse"))
    await task.run(batch(10))
    assert world.journal == [("next", 11)]


async def test_rows_that_do_not_fit_are_refused_before_anything_is_pending(world):
    world.clickhouse.refuse = True
    with pytest.raises(Refused):
        await world.task().run(batch(10))
    assert world.journal == [("next", 10)]
    assert world.kafka.position == replace(START, tries=1, suspect=10), "a failed try, and nothing else"


async def test_who_claims_a_pending_range_repeats_exactly_that_range_and_reads_on_behind_it(world):
    world.kafka.position = Position(10, "topic-id", Pending(13, NOON))
    task = world.task()
    assert task.position == 14, "reading goes on behind the range while it is settled"
    await task.settle()
    assert world.journal == [
        ("insert", "one", b"[10, 11, 13]", "topic-id:3:10-13:one"),
        ("insert", "other", b"[10]", "topic-id:3:10-13:other"),
        ("next", 14),
    ]
    assert task.position == 14


async def test_nothing_pending_is_nothing_to_settle(world):
    await world.task().settle()
    assert world.journal == []


class Entries:
    """Whether rows of a partition are there, once ClickHouse answers."""

    def __init__(self, table, *, down=0):
        self.table = table
        self.down = down
        self.asked = []

    async def __call__(self, topic, partition):
        self.asked.append((topic, partition))
        if len(self.asked) <= self.down:
            raise Unavailable("clickhouse", "down")
        return self.table


async def test_rows_of_a_partition_without_a_position_are_refused_before_anything_is_read(world):
    world.kafka.committed = False
    entries = Entries("photo_outcomes", down=2)
    with pytest.raises(
        StrangeWorld, match=r"ClickHouse's photo_outcomes has entries.*accept store --topic ns\.photos\.grouped"
    ):
        await world.task(entries=entries).settle()
    assert entries.asked == [("photos.grouped", 3)] * 3
    assert world.journal == []


async def test_a_partition_that_is_new_to_clickhouse_too_is_begun(world):
    world.kafka.committed = False
    await world.task(entries=Entries("")).settle()


async def test_who_has_a_position_asks_nobody(world):
    entries = Entries("photo_outcomes")
    await world.task(entries=entries).settle()
    assert entries.asked == []


async def test_what_was_interrupted_stays_pending_and_is_settled_later_by_the_same_task(world):
    world.clickhouse.hang = True
    task = world.task()
    running = asyncio.create_task(task.run(batch(10, 11)))
    await world.clickhouse.asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert world.journal == [("pending", 10, 11)]
    world.clickhouse.hang = False
    await task.settle()
    assert world.journal[-1] == ("next", 12)


async def test_a_range_that_is_pending_for_too_long_is_not_inserted(world):
    world.kafka.position = Position(10, "topic-id", Pending(13, NOON - timedelta(hours=2)))
    with pytest.raises(
        StrangeWorld, match=r"photos\.grouped-3 has rows of offsets 10 to 13 pending.*SAFELIGHT_PENDING_AGE"
    ):
        await world.task().settle()
    assert world.journal == []


async def test_the_age_is_looked_at_before_every_try(world):
    tries = []

    async def insert(table, block, token):
        tries.append(token)
        world.now += timedelta(minutes=40)
        raise Unavailable("clickhouse", "down")

    world.clickhouse.insert = insert
    with pytest.raises(StrangeWorld):
        await world.task().run(batch(10))
    assert len(tries) == 2


def fails_on_11(batch):
    if any(record.offset == 11 for record in batch.records):
        raise KeyError("owner-1")
    return rows(batch)


def rejection(batch, detail, at):
    [record] = batch.records
    assert detail.startswith("KeyError at tests/unit/streams/test_pending.py:")
    return [Rows(OTHER, [(-record.offset, at)])]


async def test_the_third_time_every_record_is_an_insert_of_its_own_and_the_culprit_a_rejection(world):
    world.clickhouse.prepare = lambda rows: repr([value[0] for value in rows.values]).encode()
    for tries in (1, 2):
        with pytest.raises(KeyError):
            await world.task(fails_on_11, rejection).run(batch(10, 11))
        assert world.kafka.position == replace(START, tries=tries, suspect=11)
    world.journal.clear()
    await world.task(fails_on_11, rejection).run(batch(10, 11, 13))
    inserts = [line for line in world.journal if line[0] != "next"]
    assert inserts == [
        ("pending", 10, 10),
        ("insert", "one", b"[10]", "topic-id:3:10-10:one"),
        ("insert", "other", b"[10]", "topic-id:3:10-10:other"),
        ("pending", 11, 11),
        ("insert", "other", b"[-11]", "topic-id:3:11-11:other"),
        ("pending", 12, 13),
        ("insert", "one", b"[13]", "topic-id:3:12-13:one"),
    ]
    assert world.kafka.position == Position(14, "topic-id")


async def test_a_rejection_left_pending_is_sent_again_as_the_same_rejection_even_by_a_version_without_the_bug(world):
    world.clickhouse.prepare = lambda rows: repr(rows.values).encode()
    world.kafka.position = replace(START, offset=11, tries=2, suspect=11)
    world.clickhouse.hang = True
    running = asyncio.create_task(world.task(fails_on_11, rejection).run(batch(11)))
    await world.clickhouse.asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    world.clickhouse.hang = False
    assert world.kafka.position.pending.culprit
    world.now += timedelta(minutes=5)
    await world.task(rows, rejection).settle()
    sent = [line for line in world.journal if line[0] == "insert"]
    assert sent == [("insert", "other", repr([(-11, NOON)]).encode(), "topic-id:3:11-11:other")]
    assert world.kafka.position == Position(12, "topic-id", culprits=1)


async def test_a_pending_range_on_which_this_version_fails_is_left_as_it_is(world, caplog):
    world.kafka.position = pending = Position(10, "topic-id", Pending(11, NOON))
    with pytest.raises(KeyError):
        await world.task(fails_on_11, rejection).settle()
    assert world.kafka.position == pending
    assert world.journal == []
    assert re.search(r"10 to 11 are pending .*KeyError at tests/.*run the version that made them", caplog.text)
