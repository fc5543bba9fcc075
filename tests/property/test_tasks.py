"""A task's batches, under kills, zombies, cancellations and lost answers: each record counts once, in outputs, state and position."""

from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from agents.batch import Output, Result
from schemas import codec
from schemas.topics import ADMITTED
from streams.step import Step
from tests.property.machine import events, holds, is_refuted, promised
from tests.property.workers import ACCIDENTS, Workers
from tests.support.builders import admitted
from tests.support.mutants import Mutant

pytestmark = pytest.mark.property

OUTPUT, CHANGELOG = "output", "changelog"
KEYS = [b"a", b"b", b"c"]
FORGET = b"forget"
RECORDS = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from([b"1", FORGET])), min_size=1, max_size=6)


def counted(key, value, before):
    """What a record comes to, by how many of its key the state says there were before: an event, and the new state."""
    number = int(before or 0) + 1
    return admitted(event_id=f"{key!r} {value!r}", size_bytes=number), None if value == FORGET else b"%d" % number


class Once:
    """The agent, run once over the log as far as it is committed."""

    def __init__(self):
        self.position = 0
        self.outputs = []
        self.state = {}

    def go_on(self, records, position):
        for record in records:
            if self.position <= record.offset < position:
                event, self.state[record.key] = counted(record.key, record.value, self.state.get(record.key))
                self.outputs.append((record.key, codec.encode(event)))
        self.state = {key: value for key, value in self.state.items() if value is not None}
        self.position = position


class Tasks(Workers):
    killed_at = Counter()  # noqa: RUF012 (of all runs together)

    def __init__(self, *mutants):
        super().__init__(*mutants)
        self.once = Once()
        self.broker.feed(self.topic, [(KEYS[n % 3], FORGET if n % 5 == 4 else b"0") for n in range(15)])

    def claim(self, name, worker):
        code, reached = self.code, worker.process.reached
        source = code.claim.Source(self.topic, "topic-id", 0)
        claim = code.claim.Claim(name, code.claim.Group(name, self.group), source, reached=reached)
        changelog = code.state.Changelog(CHANGELOG, "changelog-id", 0)
        state = code.state.restored(worker.folder / "store", changelog, name, began=claim.committed, reached=reached)
        return code.task.Task(
            claim,
            self.agent(worker.process),
            state,
            changelog=CHANGELOG,
            topic={ADMITTED: OUTPUT}.__getitem__,
            threads=worker.process,
            reached=reached,
        )

    def agent(self, process):
        async def agent(batch, state):
            await process.pause()
            keys = [record.key for record in batch.records]
            result, numbers = Result(), dict(zip(keys, state.get_many(keys), strict=True))
            for record in batch.records:
                event, numbers[record.key] = counted(record.key, record.value, numbers[record.key])
                result.outputs.append(Output(ADMITTED, record.key, event))
            result.changes.update(numbers)
            return result

        return agent

    @rule(event=events(**ACCIDENTS, records_are_appended=(1, RECORDS, st.booleans()), the_changelog_is_compacted=(1,)))
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
        promised("outputs are those of one run", outputs == self.once.outputs, outputs, self.once.outputs)
        state = self.broker.compacted(CHANGELOG)
        promised("the changelog is the state of one run", state == self.once.state, state, self.once.state)
        for worker in self.workers.values():
            if worker.task:
                store = worker.task._state
                has, should = dict(store.items()), self.broker.compacted(CHANGELOG, store.offset)
                promised("a local store is the changelog up to its mark", has == should, has, should, store.offset)


def test_each_record_counts_once():
    Tasks.killed_at.clear()
    holds(Tasks, histories=60)
    boundaries = {
        Step.CLAIMING,
        Step.RESTORING,
        Step.READ,
        Step.WORKED,
        Step.BEGUN,
        Step.PUBLISHED,
        Step.POSITIONED,
        Step.COMMITTED,
        Step.APPLIED,
    }
    assert boundaries <= set(Tasks.killed_at), "it was killed at each boundary"


COMMIT = """        # 4. commit with the position
        self._claim.commit(replace(self._claim.position, offset=position))
        self._reached(Step.COMMITTED)
"""
MUTANTS = {
    "fence on claim": [
        Mutant("claim", 'identity = f"{group.name}-{source}"', 'identity = f"{group.name}-{source}-{id(self)}"')
    ],
    "fence before the position is read": [
        Mutant(
            "claim",
            """        self._producer.init_transactions(_TIMEOUT_SECONDS)
        reached(Step.CLAIMING)
        self.position, self.committed = group.position(source)
""",
            """        self.position, self.committed = group.position(source)
        reached(Step.CLAIMING)
        self._producer.init_transactions(_TIMEOUT_SECONDS)
""",
        )
    ],
    "position in the transaction, not after it": [
        Mutant(
            "task",
            COMMIT,
            """        self._claim.commit(self._claim.position)
        self._reached(Step.COMMITTED)
        self._claim.begin()
        self._claim.commit(replace(self._claim.position, offset=position))
""",
        )
    ],
    "position in the transaction, not before it": [
        Mutant(
            "task",
            """        # 2. begin
        self._claim.begin()
""",
            """        self._claim.begin()
        self._claim.commit(replace(self._claim.position, offset=position))
        self._claim.begin()
""",
        )
    ],
    "changes in the transaction": [
        Mutant(
            "task",
            """        last_change = self._claim.publish_changes(self._changelog or "", changes)
        self._reached(Step.PUBLISHED)
        # 4. commit with the position
        self._claim.commit(replace(self._claim.position, offset=position))
""",
            """        self._claim.commit(replace(self._claim.position, offset=position))
        self._reached(Step.COMMITTED)
        self._claim.begin()
        last_change = self._claim.publish_changes(self._changelog or "", changes)
        self._claim.commit(self._claim.position)
""",
        )
    ],
    "apply after the commit": [
        Mutant(
            "task",
            COMMIT,
            """        self._claim._producer.poll(0)
        self._state.apply(changes, last_change())
        self._reached(Step.APPLIED)
        self._claim.commit(replace(self._claim.position, offset=position))
""",
        )
    ],
    "a cancelled commit is never abandoned": [
        Mutant(
            "task",
            "await finish(self._threads, self._commit, result.outputs, result.changes, batch.next)",
            "import asyncio; await asyncio.wrap_future(self._threads.submit(self._commit, result.outputs, result.changes, batch.next))",
        )
    ],
    "a restore reads committed changes": [
        Mutant("state", '"isolation.level": "read_committed"', '"isolation.level": "read_uncommitted"')
    ],
    "a worker whose commit failed goes on no more": [
        Mutant(
            "claim",
            "        self._producer.commit_transaction(_TIMEOUT_SECONDS)\n",
            "        from contextlib import suppress\n"
            "        with suppress(KafkaException):\n"
            "            self._producer.commit_transaction(_TIMEOUT_SECONDS)\n",
        )
    ],
}


@pytest.mark.parametrize("mutants", MUTANTS.values(), ids=MUTANTS)
def test_without_this_rule_it_does_not(mutant):
    is_refuted(lambda: Tasks(*mutants), within=200)
