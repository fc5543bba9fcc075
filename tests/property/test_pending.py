"""Rows for ClickHouse, under kills, zombies, cancellations and lost answers: table and rollup have each record once."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from agents.retry import Retry
from schemas.tables import Rows, Table
from streams.position import Position
from streams.step import Step
from tests.property.machine import events, holds, is_refuted, promised
from tests.property.workers import ACCIDENTS, Workers
from tests.support.batches import Counted
from tests.support.fake_clickhouse import Server, Writer
from tests.support.mutants import Mutant

pytestmark = pytest.mark.property

ALL, EVEN = Table("all", ("number",)), Table("even", ("number",))
WINDOW = 1000  # INSERTs that the server remembers: more than a history makes
LONGEST = timedelta(hours=1)  # that a range may be pending: what others insert meanwhile does not fill the window


def rows(batch):
    """Each record is a row of one table; those with an even number of the other too; those with 0 of none."""
    numbers = [number for record in batch.records if (number := int(record.value))]
    even = [number for number in numbers if number % 2 == 0]
    return [Rows(table, [(n,) for n in some]) for table, some in ((ALL, numbers), (EVEN, even)) if some]


class PendingRanges(Workers):
    killed_at = Counter()  # noqa: RUF012 (of all runs together)
    windows = WINDOW, WINDOW

    def __init__(self, *mutants):
        super().__init__(*mutants)
        self.server = Server(*self.windows)
        self.generation = 1  # of the topic
        self.numbers = 0
        self.earlier = []  # the rows of topics that are gone
        self.refused = False
        self.feed([1] * 10)

    def feed(self, there, *, commit=True):
        """Records with numbers of their own, or 0."""
        records = []
        for is_row in there:
            self.numbers += 1
            records.append((b"key", b"%d" % (self.numbers if is_row else 0)))
        self.broker.feed(self.topic, records, commit=commit)

    def claim(self, name, worker):
        code, process = self.code, worker.process
        source = code.claim.Source(self.topic, f"topic-{self.generation}", 0)
        claim = code.claim.Claim(name, code.claim.Group(name, self.group), source, reached=process.reached)

        async def no_time(_):
            return None

        return code.pending.PendingTask(
            claim,
            code.pending.Sink(rows, Writer(self.server, process.pause), Retry("clickhouse", sleep=no_time)),
            topic=self.topic,
            read=lambda *place: code.pending.read_range(name, *place),
            longest=LONGEST,
            pace=process.pause,
            threads=process,
            measure=Counted(),
            clock=self.now,
            reached=process.reached,
        )

    def now(self):
        return datetime.fromtimestamp(self.loop.now, UTC)

    @rule(
        event=events(
            **ACCIDENTS,
            records_are_appended=(1, st.lists(st.integers(0, 3), min_size=1, max_size=6), st.booleans()),
            clickhouse_will_fail=(1, st.sampled_from(["lost", "half", "answer"])),
            once_in_a_while=(1, st.integers(0, 7)),
        )
    )
    def happens(self, event):
        self.go_through(event)

    def records_are_appended(self, there, commit):
        self.feed(there, commit=commit)

    def clickhouse_will_fail(self, how):
        self.server.fails = how

    def once_in_a_while(self, what):
        if what == 5:
            self.the_topic_is_made_anew()
        elif what == 6 and not self.a_request_is_under_way():
            self.a_long_time_passes()

    def the_topic_is_made_anew(self):
        """By an operator: workers stopped with nothing pending, the topic and the group's position deleted."""
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
        self.feed([1] * 5)

    def a_long_time_passes(self):
        """Others insert so much that the server forgets. What is pending then stays so, for an operator to look at."""
        self.loop.now += 2 * LONGEST.total_seconds()
        self.server.others_insert()

    def a_request_is_under_way(self):
        """No single request takes so long."""
        return any(w.process.busy and w.process.last == Step.INSERTING for w in self.workers.values())

    def expected(self):
        """The rows of each table by the committed position, and those that may be there because they are pending."""
        offset, note = self.broker.positions.get((self.group, self.topic, 0), (0, Position(0, "").note))
        position = Position.of(offset, note)
        until = position.pending.last + 1 if position.pending else offset
        numbers = [(entry.offset, int(entry.value)) for entry in self.broker.log(self.topic).committed()]
        done = [number for at, number in numbers if number and at < offset]
        pending = [number for at, number in numbers if number and offset <= at < until]
        return done, pending

    def look(self):
        done, pending = self.expected()
        for table, fits in ((ALL, lambda _: True), (EVEN, lambda number: number % 2 == 0)):
            must = Counter(filter(fits, self.earlier + done))
            may = must + Counter(filter(fits, pending))
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
    holds(PendingRanges, histories=80)
    boundaries = {
        Step.CLAIMING,
        Step.READ,
        Step.WORKED,
        Step.PENDING,
        Step.INSERTING,
        Step.INSERTED,
        Step.POSITIONED,
        Step.COMMITTED,
    }
    assert boundaries <= set(PendingRanges.killed_at), boundaries - set(PendingRanges.killed_at)


PENDING = "            await self._commit(self._claim.position.offset, Pending(batch.next - 1, self._clock()))\n"
SETTLE = """        if position.pending is None:
            return
        last"""
MUTANTS = {
    "a range is pending before it is inserted": [Mutant("pending", PENDING, "")],
    "the position moves on after the insert": [
        Mutant("pending", PENDING, "            await self._commit(batch.next)\n")
    ],
    "what is pending is repeated": [Mutant("pending", SETTLE, "        return\n        last")],
    "what is pending is repeated as it was, not cut anew": [
        Mutant("pending", SETTLE, "        return\n        last"),
        Mutant(
            "pending",
            "return position.pending.last + 1 if position.pending else position.offset",
            "return position.offset",
        ),
    ],
    "a token is the same for the same rows": [
        Mutant(
            "pending",
            "{position.offset}-{last}:{table.name}",
            "{position.offset}-{last}:{table.name}:{time.monotonic_ns()}",
        )
    ],
    "a token is another for another topic": [Mutant("pending", 'return f"{source.topic_id}:', 'return f"')],
    "what is pending for too long is not inserted": [Mutant("pending", "                self._check_age()\n", "")],
    "committed records are read again": [
        Mutant("pending", '"isolation.level": "read_committed"', '"isolation.level": "read_uncommitted"')
    ],
    "a claim is a fence": [
        Mutant("claim", 'identity = f"{group.name}-{source}"', 'identity = f"{group.name}-{source}-{id(self)}"')
    ],
    "a cancelled commit is never abandoned": [
        Mutant(
            "pending",
            "        await finish(self._threads, commit)\n",
            "        import asyncio; await asyncio.wrap_future(self._threads.submit(commit))\n",
        )
    ],
}


@pytest.mark.parametrize("mutants", MUTANTS.values(), ids=MUTANTS)
def test_without_this_rule_they_do_not(mutants):
    is_refuted(lambda: PendingRanges(*mutants), within=200)


@pytest.mark.parametrize("windows", [(0, WINDOW), (WINDOW, 0)], ids=["table", "rollup"])
def test_without_a_window_they_do_not(windows):
    class Forgetful(PendingRanges):
        pass

    Forgetful.windows = windows
    is_refuted(Forgetful, within=200)
