"""Rows for ClickHouse, under kills, zombies, cancellations and lost answers: table and rollup have each record once."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from agents.retry import Retry
from schemas.tables import Rows, Table
from streams.position import Position
from streams.step import Step
from tests.property.machine import LEAST, events, holds, is_refuted, promised
from tests.property.workers import MOST_BOUNDARIES, OPERATOR, Workers, accidents
from tests.support.batches import Counted
from tests.support.fake_clickhouse import Server, Writer
from tests.support.mutants import Mutant

pytestmark = pytest.mark.property

BOUNDARIES = (  # PENDING and COMMITTED are no others: nothing happens to the world between them and the next
    Step.READ,
    Step.WORKED,
    Step.INSERTING,
    Step.INSERTED,
    Step.POSITIONED,
)
ROW, NONE, BUG = 1, 0, -1
KINDS = st.lists(st.sampled_from([ROW, ROW, ROW, NONE, BUG]), min_size=1, max_size=6)
ALL, EVEN = Table("all", ("number",)), Table("even", ("number",))
WINDOW = 1000  # INSERTs that the server remembers: more than a history makes
LONGEST = timedelta(hours=1)  # that a range may be pending: what others insert meanwhile does not fill the window


def rows(numbers):
    """Each record is a row of one table; those with an even number of the other too; those with 0 of none."""
    even = [number for number in numbers if number % 2 == 0]
    return [Rows(table, [(n,) for n in some]) for table, some in ((ALL, numbers), (EVEN, even)) if some]


def numbers(batch):
    return [number for record in batch.records if (number := int(record.value))]


def culprit(batch, detail, at):
    """A record on which the work fails, which it does if its number is negative, is a row too."""
    return [Rows(ALL, [(number,) for number in numbers(batch)])]


class PendingRanges(Workers):
    killed_at: ClassVar[Counter] = Counter()
    windows = WINDOW, WINDOW

    def __init__(self, *mutants):
        super().__init__(*mutants)
        self.server = Server(*self.windows)
        self.generation = 1  # of the topic
        self.numbers = 0
        self.earlier = []  # the numbers of topics that are gone
        self.doubtful = set()  # the numbers that an operator has left out: they are there or not
        self.feed_some()

    def feed(self, kinds, *, commit=True):
        """Records with numbers of their own; never so many bugs in a row that nobody would reject them."""
        records = []
        for last, kind in pairwise([BUG, *kinds]):
            self.numbers += 1
            records.append((b"key", b"%d" % (self.numbers * (ROW if last == kind == BUG else kind))))
        self.broker.feed(self.topic, records, commit=commit)

    def feed_some(self):
        self.feed([ROW, ROW, BUG, ROW])
        self.feed([ROW, ROW], commit=False)
        self.feed([ROW, NONE, ROW, BUG, ROW])

    def source(self):
        return self.code.claim.Source(self.topic, f"topic-{self.generation}", 0)

    def claim(self, name, worker):
        code, process = self.code, worker.process
        claim = code.claim.Claim(name, code.claim.Group(name, self.group), self.source(), reached=process.reached)

        async def no_time(_):
            return None

        def work(batch):
            self.work(worker, buggy=any(number < 0 for number in numbers(batch)))
            return rows(numbers(batch))

        return code.pending.PendingTask(
            claim,
            code.pending.Sink(
                work, Writer(self.server, process.pause), Retry("clickhouse", sleep=no_time), culprit, self.entries
            ),
            topic=self.topic,
            read=lambda *place: code.pending.read_range(name, *place),
            longest=LONGEST,
            pace=lambda _: process.pause,
            threads=process,
            measure=Counted(),
            clock=self.now,
            reached=process.reached,
        )

    async def entries(self, topic, partition):
        """As sinks/clickhouse/entries.py does it."""
        return ALL.name if self.entered() else ""

    def entered(self):
        """The numbers in the table that are of this topic, not of one of the same name that is gone."""
        return Counter(self.server.table(ALL.name)[0].rows) - Counter(self.earlier)

    def now(self):
        return datetime.fromtimestamp(self.loop.now, UTC)

    @rule(
        event=events(
            **accidents(*BOUNDARIES),
            records_are_appended=(1, KINDS, st.booleans()),
            clickhouse_will_fail=(1, st.sampled_from(["lost", "half", "answer"])),
            a_long_time_passes=(1,),
            an_operator_leaves_out_what_is_overdue=(1,),
            the_topic_is_made_anew=(1, st.integers(0, 2)),
            the_position_is_away=(1, st.integers(1, 2)),
        )
    )
    def happens(self, event):
        self.go_through(event)

    def records_are_appended(self, kinds, commit):
        self.feed(kinds, commit=commit)

    def clickhouse_will_fail(self, how):
        self.server.fails = how

    def a_long_time_passes(self):
        """Others insert so much that the server forgets; but no single request takes so long."""
        if self.position.pending and not any(
            w.process.busy and w.process.last == Step.INSERTING for w in self.workers.values()
        ):
            self.loop.now += 2 * LONGEST.total_seconds()
            self.server.others_insert()

    def an_operator_leaves_out_what_is_overdue(self):
        """As `safelight offsets accept` does it."""
        position = self.position
        if position.pending and self.now() - position.pending.since > LONGEST:
            self.doubtful |= set(self.expected()[1])
            after = Position(position.pending.last + 1, position.topic_id)
            claims = self.code.claim
            claim = claims.Claim(OPERATOR, claims.Group(OPERATOR, self.group), self.source(), at=after)
            claim.begin()
            claim.commit(claim.position)

    def the_topic_is_made_anew(self, sometimes):
        """By an operator: workers stopped with nothing pending, the topic and the group's position deleted."""
        if sometimes:
            return
        self.come_to_an_end()
        done, pending = self.expected()
        if pending:
            return  # for too long
        self.earlier += done
        for worker in self.workers.values():
            self.end(worker)
        self.broker.make_anew(self.topic)
        self.broker.positions.clear()
        self.generation += 1
        self.feed_some()

    def the_position_is_away(self, size):
        """It has expired, and no worker goes on, until an operator puts it back."""
        had = self.entered()
        for worker in self.workers.values():
            self.end(worker)
        positions = dict(self.broker.positions)
        self.broker.positions.clear()
        for _ in range(MOST_BOUNDARIES):
            self.works(0, size, 1, 0)
        has = self.entered()
        promised("nobody goes on where rows are and a position is not", not had or has == had, had, has)
        for worker in self.workers.values():
            self.end(worker)
        if had:
            self.broker.positions |= positions

    def expected(self):
        """The numbers before the committed position, and those that may be in the tables because they are pending."""
        position = self.position
        until = position.pending.last + 1 if position.pending else position.offset
        there = [(entry.offset, int(entry.value)) for entry in self.broker.log(self.topic).committed()]
        done = [number for at, number in there if number and at < position.offset]
        pending = [number for at, number in there if number and position.offset <= at < until]
        return done, pending

    def look(self):
        done, pending = self.expected()
        for table, fits in ((ALL, lambda _: True), (EVEN, lambda number: number > 0 and number % 2 == 0)):
            may = Counter(filter(fits, self.earlier + done + pending))
            must = Counter(number for number in filter(fits, self.earlier + done) if number not in self.doubtful)
            for what, target in zip(("table", "rollup"), self.server.table(table.name), strict=True):
                has = Counter(target.rows)
                promised(f"the {what} has every record before the position", must <= has, table.name, must - has)
                promised(
                    f"the {what} has no record twice, nor before its range is pending",
                    has <= may,
                    table.name,
                    has - may,
                )


def test_table_and_rollup_have_each_record_once():
    PendingRanges.killed_at.clear()
    holds(PendingRanges, least=LEAST["pending"])
    missed = {Step.CLAIMING, *BOUNDARIES} - set(PendingRanges.killed_at)
    assert not missed, "it was killed at every boundary"


PENDING = "await self._commit(replace(self._claim.position, pending=pending, allowance=allowance))"
REPEAT = """
await self._insert(blocks)
await self._commit(passed(position, pending.last + 1, culprit=bool(pending.culprit)))
"""
MUTANTS = {
    "a range is pending before it is inserted": [Mutant("pending", PENDING)],
    "the position moves on after the insert": [Mutant("pending", PENDING, "await self._commit(made.after)")],
    "what is pending is repeated": [Mutant("pending", REPEAT)],
    "what is pending is repeated as it was, not cut anew": [
        Mutant("pending", REPEAT),
        Mutant(
            "pending",
            "position.pending.last + 1 if position.pending else position.offset",
            "position.offset",
        ),
    ],
    "a rejection is repeated as one": [Mutant("pending", "pending = replace(pending, culprit=made.culprit)")],
    "a token is the same for the same rows": [Mutant("pending", "source.topic_id", "time.monotonic_ns()")],
    "a token is another for another topic": [Mutant("pending", "source.topic_id", "''")],
    "where rows are, a position has to be": [Mutant("pending", "await self._check_begun()")],
    "what is pending for too long is not inserted": [Mutant("pending", "self._check_age()")],
    "only committed records are read again": [Mutant("standalone", "'read_committed'", "'read_uncommitted'")],
    "a claim is a fence": [
        Mutant("claim", 'f"{group.name}-{source}"', 'f"{group.name}-{source}-{id(self)}"'),
    ],
    "a commit that is cancelled is not abandoned": [
        Mutant(
            "pending",
            "await finish(self._threads, commit)",
            "await asyncio.wrap_future(self._threads.submit(commit))",
        )
    ],
}


@pytest.mark.parametrize("mutants", MUTANTS.values(), ids=MUTANTS)
def test_without_this_rule_they_do_not(mutants):
    is_refuted(lambda: PendingRanges(*mutants))


@pytest.mark.parametrize("windows", [(0, WINDOW), (WINDOW, 0)], ids=["table", "rollup"])
def test_without_a_window_they_do_not(windows):
    class Forgetful(PendingRanges):
        pass

    Forgetful.windows = windows
    is_refuted(Forgetful)
