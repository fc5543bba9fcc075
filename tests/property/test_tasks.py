"""A task's batches, under kills, zombies, cancellations and lost answers: each record counts once, in outputs, state and position."""

from collections import Counter
from itertools import pairwise
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from agents.batch import Output, Result
from schemas import codec
from schemas.topics import ADMITTED
from streams.step import Step
from tests.property.machine import LEAST, events, holds, is_refuted, promised, same
from tests.property.workers import Workers, accidents
from tests.support.builders import admitted
from tests.support.mutants import Mutant

pytestmark = pytest.mark.property

BOUNDARIES = (
    Step.RESTORING,
    Step.READ,
    Step.WORKED,
    Step.BEGUN,
    Step.PUBLISHED,
    Step.POSITIONED,
    Step.COMMITTED,
    Step.APPLIED,
)
OUTPUT, CHANGELOG = "output", "changelog"
KEYS = [b"a", b"b", b"c"]
FORGET, BUG = b"forget", b"bug"
RECORDS = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from([b"1", b"1", FORGET, BUG])), min_size=1, max_size=6
).map(
    lambda records: [
        record for record, last in pairwise([*records, (b"a", b"1")]) if (record[1], last[1]) != (BUG, BUG)
    ]
)
"""Never so many bugs in a row that nobody would reject them."""


def counted(key, value, before):
    """What a record comes to, by how many of its key the state says there were before: an event, and the new state."""
    number = int(before or 0) + 1
    return admitted(event_id=f"{key!r} {value!r}", size_bytes=number), None if value == FORGET else b"%d" % number


async def culprit(batch, state, detail):
    """What a record comes to on which the agent fails."""
    return Result(outputs=[Output(ADMITTED, record.key, REJECTION) for record in batch.records])


REJECTION = admitted(event_id="rejected")


class Once:
    """The agent, run once over the log as far as it is committed."""

    def __init__(self):
        self.position = 0
        self.outputs = []
        self.state = {}

    def go_on(self, records, position):
        for record in records:
            if not self.position <= record.offset < position:
                continue
            if record.value == BUG:
                event = REJECTION
            else:
                event, self.state[record.key] = counted(record.key, record.value, self.state.get(record.key))
            self.outputs.append((record.key, codec.encode(event)))
        self.state = {key: value for key, value in self.state.items() if value is not None}
        self.position = position


class Tasks(Workers):
    killed_at: ClassVar[Counter] = Counter()

    def __init__(self, *mutants):
        super().__init__(*mutants)
        self.once = Once()
        self.broker.feed(self.topic, [(KEYS[n % 3], {3: BUG, 4: FORGET}.get(n % 5, b"0")) for n in range(15)])

    def claim(self, name, worker):
        code, reached = self.code, worker.process.reached
        source = code.claim.Source(self.topic, "topic-id", 0)
        changelog = code.claim.Changelog(CHANGELOG, "changelog-id", 0)
        claim = code.claim.Claim(name, code.claim.Group(name, self.group), source, changelog, reached=reached)
        state = code.state.restored(worker.folder / "store", claim, changelog, name, reached=reached)
        return code.task.Task(
            claim,
            self.agent(worker),
            state,
            changelog=CHANGELOG,
            topic={ADMITTED: OUTPUT}.__getitem__,
            threads=worker.process,
            culprit=culprit,
            reached=reached,
        )

    def agent(self, worker):
        process = worker.process

        async def agent(batch, state):
            await process.pause()
            self.work(worker, buggy=any(record.value == BUG for record in batch.records))
            keys = [record.key for record in batch.records]
            result, numbers = Result(), dict(zip(keys, state.get_many(keys), strict=True))
            for record in batch.records:
                event, numbers[record.key] = counted(record.key, record.value, numbers[record.key])
                result.outputs.append(Output(ADMITTED, record.key, event))
            result.changes.update(numbers)
            return result

        return agent

    @rule(
        event=events(
            **accidents(*BOUNDARIES), records_are_appended=(1, RECORDS, st.booleans()), the_changelog_is_compacted=(1,)
        )
    )
    def happens(self, event):
        self.go_through(event)

    def records_are_appended(self, records, commit):
        self.broker.feed(self.topic, records, commit=commit)

    def the_changelog_is_compacted(self):
        self.broker.log(CHANGELOG).compact(self.loop.now)

    def look(self):
        position, _ = self.broker.positions.get((self.group, self.topic, 0), (0, ""))
        promised("the position never goes back", position >= self.once.position, position, self.once.position)
        self.once.go_on(self.broker.log(self.topic).committed(), position)
        outputs = [(entry.key, entry.value) for entry in self.broker.log(OUTPUT).committed()]
        same("outputs are those of one run", outputs, self.once.outputs)
        state = self.broker.compacted(CHANGELOG)
        promised("the changelog is the state of one run", state == self.once.state, state, self.once.state)
        for worker in self.workers.values():
            if worker.task:
                store = worker.task._state
                has, should = dict(store.items()), self.broker.compacted(CHANGELOG, store.offset)
                promised("a local store is the changelog up to its mark", has == should, has, should, store.offset)


def test_each_record_counts_once():
    Tasks.killed_at.clear()
    holds(Tasks, least=LEAST["tasks"])
    missed = {Step.CLAIMING, *BOUNDARIES} - set(Tasks.killed_at)
    assert not missed, "it was killed at every boundary"


COMMIT = "self._claim.commit(position)"
MUTANTS = {
    "a claim is a fence": [
        Mutant("claim", 'f"{group.name}-{source}"', 'f"{group.name}-{source}-{id(self)}"'),
    ],
    "the fence comes before the position is read": [
        Mutant("claim", "self._producer.init_transactions(_TIMEOUT_SECONDS); reached(Step.CLAIMING)"),
        Mutant(
            "claim",
            "position, self.committed = (at, False) if at else self._found(ours)",
            """
position, self.committed = self._found(ours)
reached(Step.CLAIMING)
self._producer.init_transactions(_TIMEOUT_SECONDS)
""",
        ),
    ],
    "the position is in the transaction, not behind it": [
        Mutant(
            "task",
            COMMIT,
            """
self._claim.commit(self._claim.position)
self._reached(Step.COMMITTED)
self._claim.begin()
self._claim.commit(position)
""",
        )
    ],
    "the position is in the transaction, not before it": [
        Mutant("task", "self._claim.begin()", "self._claim.begin(); self._claim.commit(position); self._claim.begin()")
    ],
    "the changes are in the transaction": [
        Mutant(
            "task",
            'last_change = self._claim.publish_changes(self._changelog or "", changes)',
            """
self._claim.commit(position)
self._reached(Step.COMMITTED)
self._claim.begin()
last_change = self._claim.publish_changes(self._changelog or "", changes)
""",
        )
    ],
    "the local store is written after the commit": [
        Mutant(
            "task",
            COMMIT,
            """
self._claim._producer.poll(0)
self._state.apply(changes, last_change())
self._reached(Step.APPLIED)
self._claim.commit(position)
""",
        )
    ],
    "a commit that is cancelled is not abandoned": [
        Mutant(
            "task",
            "await finish(self._threads, self._commit, *made.result, made.after)",
            "await asyncio.wrap_future(self._threads.submit(self._commit, *made.result, made.after))",
        )
    ],
    "who could not commit goes on no more": [
        Mutant(
            "claim",
            "self._producer.commit_transaction(_TIMEOUT_SECONDS)",
            """
from confluent_kafka import KafkaException
try:
    self._producer.commit_transaction(_TIMEOUT_SECONDS)
except KafkaException:
    pass
""",
        )
    ],
    "one failure is no proof": [Mutant("tries", "_PATIENCE = 2", "_PATIENCE = 1")],
    "failures are counted in the position": [Mutant("tries", "position.tries + 1", "0")],
    "suspects are tried one by one": [
        Mutant(
            "tries",
            "for record in suspects: yield replace(batch, records=[record])",
            "if suspects: yield replace(batch, records=suspects)",
        )
    ],
}


@pytest.mark.parametrize("mutants", MUTANTS.values(), ids=MUTANTS)
def test_without_this_rule_it_does_not(mutants):
    is_refuted(lambda: Tasks(*mutants))
