"""A local store, under crashes, long absences and compaction: restored, it is the compacted changelog, and never runs ahead."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.property.code import Code
from tests.property.machine import LEAST, Broken, Machine, events, holds, is_refuted, promised, scratch
from tests.support.fake_kafka import Broker
from tests.support.fake_kafka_clients import Line
from tests.support.mutants import Mutant
from tests.support.stepping import Killed

pytestmark = pytest.mark.property

CHANGELOG = "changelog"
BROKERS = "broker"
SLOT = st.integers(0, 1)
CHANGES = st.dictionaries(
    st.sampled_from([b"a", b"b", b"c", b"d"]), st.sampled_from([b"1", b"2", b"3", None, None]), min_size=1
)


def killed():
    raise Killed


@dataclass
class Slot:
    """A worker's folder, and its store while it is open; `late`: changes that are committed, and not applied yet."""

    folder: Path
    store: Any = None
    late: tuple[dict[bytes, bytes | None], int] | None = None


class States(Machine):
    kept = None

    def __init__(self, *mutants):
        super().__init__()
        self.seconds = 1_000_000.0
        self.broker = Broker(lambda: self.seconds)
        self.code = Code({BROKERS: Line(self.broker)}, *mutants)
        self._folder = scratch()
        self.slots = [Slot(Path(self._folder.name) / str(number)) for number in range(2)]
        self.owner: Slot | None = None  # whose store is restored, and alone may write the changelog
        self.topics = 1
        self.seen = None  # what cannot have changed is not looked at again

    @rule(
        event=events(
            opens=(2, SLOT, st.integers(0, 4)),
            commits=(
                7,
                CHANGES,
                st.sampled_from(["applied", "applied", "asleep", "killed before", "killed at a write", "aborted"]),
            ),
            wakes=(1, SLOT),
            closes=(2, SLOT),
            is_killed=(1, SLOT),
            hours_pass=(2, st.sampled_from([1, 6, 11])),
            a_day_passes=(2,),
            is_cleaned=(1,),
            is_made_anew=(1, st.booleans()),
            loses_its_end=(1, st.integers(1, 6)),
        )
    )
    def happens(self, event):
        self.go_through(event)

    # A worker's life

    def opens(self, number, boundaries):
        """A claim: the partition is this worker's, the other sleeps on. It may be killed after so many boundaries of its restore."""
        slot = self.slots[number]
        if slot.store:
            self.kill(slot)
        left = iter(range(boundaries if boundaries < 3 else 100))

        def reached(_):
            if next(left, None) is None:
                raise Killed

        self.owner = slot
        changelog = self.code.claim.Changelog(CHANGELOG, f"topic-{self.topics}", 0, kept=self.kept)
        try:
            slot.store = self.code.state.Store(slot.folder, changelog, clock=lambda: self.seconds)
            self.code.state.restore(slot.store, BROKERS, reached)
        except Killed:
            self.kill(slot)

    def commits(self, changes, then):
        if self.owner is None:
            self.opens(0, 100)
        slot = self.owner
        if slot.late:
            self.wake(slot)
        self.broker.feed(CHANGELOG, changes.items(), commit=then != "aborted")
        offset = self.broker.log(CHANGELOG).next - 2  # behind it, the marker
        if then == "applied":
            slot.store.apply(changes, offset)
        elif then == "asleep":
            slot.late = changes, offset
        else:
            if then == "killed at a write":
                self.code.written = killed
                with suppress(Killed):
                    slot.store.apply(changes, offset)
                self.code.written = lambda: None
            self.kill(slot)

    def wakes(self, number):
        if self.slots[number].late:
            self.wake(self.slots[number])

    def wake(self, slot):
        slot.store.apply(*slot.late)
        slot.late = None

    def closes(self, number):
        """As its owner, or as a zombie."""
        slot = self.slots[number]
        if slot.store and not slot.late:
            slot.store.close()
            self.kill(slot)

    def is_killed(self, number):
        self.kill(self.slots[number])

    def kill(self, slot):
        self.code.let_go(slot.folder)
        slot.store = slot.late = None
        if self.owner is slot:
            self.owner = None

    # The world

    def hours_pass(self, hours):
        self.seconds += hours * 3600

    def a_day_passes(self):
        """After which deletions are forgotten."""
        self.hours_pass(25)
        self.is_cleaned()

    def is_cleaned(self):
        log = self.broker.log(CHANGELOG)
        if self.kept:
            log.expire(self.seconds - self.kept.total_seconds())
        log.compact(self.seconds)

    def is_made_anew(self, sometimes):
        if sometimes:
            for slot in self.slots:
                self.kill(slot)
            self.broker.make_anew(CHANGELOG)
            self.broker.feed(CHANGELOG, [(b"a", b"4")] * 20)  # by a worker elsewhere
            self.topics += 1

    def loses_its_end(self, offsets):
        """While all workers stand, and before it is cleaned: what others write in its place would hide it, or what is missing already."""
        log = self.broker.log(CHANGELOG)
        if len(log.entries) < len(log.history):
            return
        for slot in self.slots:
            self.kill(slot)
        log.lose(offsets)
        for number in range(2):
            self.opens(number, 100)

    # The promise

    def look(self):
        now = (
            [(slot.store, slot.store and slot.store.offset, slot.late) for slot in self.slots],
            len(self.broker.log(CHANGELOG).history),
        )
        if now == self.seen:
            return
        self.seen = now
        for slot in self.slots:
            if slot.store:
                committed = self.broker.log(CHANGELOG).committed()
                once = {(entry.key, entry.value) for entry in committed if entry.offset <= slot.store.offset}
                has = dict(slot.store.items())
                promised("a store never runs ahead", has.items() <= once, has.items() - once)
        if self.owner and not self.owner.late:
            self.look_at_the_owner_s(dict(self.owner.store.items()))

    def look_at_the_owner_s(self, has):
        should = self.broker.compacted(CHANGELOG)
        promised("an owner's store is the changelog, compacted", has == should, has, should)

    def teardown(self):
        try:
            for number in range(2):
                self.opens(number, 100)
                self.look()
        finally:
            for slot in self.slots:
                self.kill(slot)
            self._folder.cleanup()


def test_a_restored_store_is_the_compacted_changelog():
    holds(States, least=LEAST["state"])


class BoundedStates(States):
    """Of a changelog that keeps what it has for a time only."""

    kept = timedelta(hours=13)

    def look_at_the_owner_s(self, has):
        log, should = self.broker.log(CHANGELOG), self.broker.compacted(CHANGELOG)
        promised(
            "an owner's store has nothing that is not the last of its key", has.items() <= should.items(), has, should
        )
        there = {entry.key: entry.value for entry in log.committed() if entry.offset >= log.low}
        there = {key: value for key, value in there.items() if value is not None}
        promised("an owner's store has all that the changelog has", there.items() <= has.items(), has, there)

    def opens(self, number, boundaries):
        super().opens(number, boundaries)
        if self.owner:
            last = {entry.key: entry.at for entry in self.broker.log(CHANGELOG).committed()}
            oldest = self.seconds - min((last[key] for key, _ in self.owner.store.items()), default=self.seconds)
            promised(
                "when it is opened, nothing is older than twice that", oldest < 2 * self.kept.total_seconds(), oldest
            )


def test_a_bounded_store_has_what_its_changelog_has_and_forgets():
    holds(BoundedStates, least=1_000)


def test_a_bounded_store_does_not_forget_unless_it_is_made_anew():
    is_refuted(lambda: BoundedStates(Mutant("state", "kept and old >= kept.total_seconds()", "False")))


def test_a_zombie_does_not_take_its_store_for_up_to_date():
    states = States()
    try:
        states.opens(0, 100)
        states.commits({b"a": b"1"}, "applied")
        states.opens(1, 100)
        states.commits({b"a": None}, "applied")
        states.commits({b"b": b"1"}, "applied")
        states.a_day_passes()
        states.slots[0].store.close()
        states.opens(0, 100)
        states.look()
    finally:
        states.teardown()


MARKED = "batch.put(_MARK, json.dumps(mark).encode())"

MUTANTS = {
    "a store of another topic is thrown away": [Mutant("state", "mark['topic'] != self.changelog.topic_id", "False")],
    "a store that was away for long is thrown away": [
        Mutant("state", "away >= _LONGEST_AWAY.total_seconds()", "False")
    ],
    "a store that is ahead of its changelog is thrown away": [Mutant("state", "store.offset >= end", "False")],
    "the mark is in the same write as the changes": [
        Mutant("state", MARKED, "self._db.put(_MARK, json.dumps(mark).encode())")
    ],
    "a restore reads committed changes": [Mutant("standalone", "'read_committed'", "'read_uncommitted'")],
    "a restore goes on where the store ends": [Mutant("state", "store.offset + 1", "store.offset + 2")],
    "a deletion is a change too": [Mutant("state", "batch.delete(key)")],
}


@pytest.mark.parametrize("mutants", MUTANTS.values(), ids=MUTANTS)
def test_without_this_rule_it_is_not(mutants):
    is_refuted(lambda: States(*mutants))


def written_late(*mutants):
    """A worker that slept behind a commit writes it a day later, when a deletion by the next owner is forgotten."""
    states = States(*mutants)
    try:
        states.commits({b"a": b"1"}, "asleep")
        states.opens(1, 100)
        states.commits({b"a": None}, "applied")
        states.commits({b"b": b"1"}, "applied")
        states.a_day_passes()
        states.wakes(0)
        states.opens(0, 100)
        states.look()
    finally:
        states.teardown()


def test_what_a_zombie_writes_late_does_not_make_its_store_new():
    written_late()
    with pytest.raises(Broken):
        written_late(Mutant("state", MARKED, f"mark['at'] = self.clock(); {MARKED}"))
