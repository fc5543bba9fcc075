from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest

from agents.batch import Batch, Output, Result
from schemas import codec
from schemas.events import PhotoAdmitted
from schemas.topics import ADMITTED
from streams.claim import Message
from streams.position import Position
from streams.step import Step
from streams.task import Task
from tests.support.builders import admitted

pytestmark = pytest.mark.unit


@dataclass
class Record:
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    timestamp: int = 0


START = Position(10, "topic-id")
BATCH = Batch("photos.events", 3, [Record(10), Record(12)])
FAILED = [(Step.READ,), ("begin",), ("commit", replace(START, tries=1, suspect=12))]
"""What is written down of a batch whose work fails for the first time: no output, and the same position."""


@dataclass
class Journal:
    """A claim, a state and a watch that write down what is asked of them, in order."""

    position: Position = START
    lines: list = field(default_factory=list)
    fail_at: str = ""

    def note(self, line, *more):
        if line == self.fail_at:
            raise RuntimeError(line)
        self.lines.append((line, *more))

    def begin(self):
        self.note("begin")

    def publish(self, messages):
        self.note("publish", list(messages))

    def publish_changes(self, changelog, changes):
        self.note("changes", changelog, dict(changes))
        return lambda: 99 if changes else None

    def commit(self, position):
        self.note("commit", position)
        self.position = position

    def get_many(self, keys):
        return [None] * len(keys)

    def apply(self, changes, offset):
        self.note("apply", dict(changes), offset)

    def close(self):
        self.note("close")

    def reached(self, step):
        self.note(step)


@pytest.fixture
def make(request):
    with ThreadPoolExecutor(1) as threads:

        def make(agent, journal, changelog="ns.changelog", culprit=None):
            return Task(
                journal,
                agent,
                journal,
                changelog=changelog,
                topic=lambda topic: f"ns.{topic.name}",
                threads=threads,
                culprit=culprit,
                reached=journal.reached,
            )

        yield make


async def nothing(batch, state):
    return Result()


async def test_a_batch_is_one_transaction_in_this_order(make):
    event = admitted()

    async def agent(batch, state):
        assert batch is BATCH
        return Result([Output(ADMITTED, b"key", event)], {b"a": b"1", b"b": None})

    journal = Journal()
    task = make(agent, journal)
    await task.run(BATCH)
    assert journal.lines == [
        (Step.READ,),
        (Step.WORKED,),
        ("begin",),
        (Step.BEGUN,),
        ("publish", [Message("ns.photos.admitted", b"key", codec.encode(event))]),
        ("changes", "ns.changelog", {b"a": b"1", b"b": None}),
        (Step.PUBLISHED,),
        ("commit", Position(13, "topic-id")),
        (Step.COMMITTED,),
        ("apply", {b"a": b"1", b"b": None}, 99),
        (Step.APPLIED,),
    ]
    assert task.position == 13


@pytest.mark.parametrize("step", ["begin", "publish", "changes", "commit"])
async def test_what_fails_before_the_commit_leaves_position_and_state_alone(make, step):
    journal = Journal(fail_at=step)
    task = make(nothing, journal)
    with pytest.raises(RuntimeError, match=step):
        await task.run(BATCH)
    assert task.position == 10
    assert "apply" not in [line[0] for line in journal.lines]


async def test_an_event_that_cannot_be_encoded_fails_before_anything_is_begun(make):
    async def agent(batch, state):
        return Result([Output(ADMITTED, b"key", admitted(size_bytes="many"))])

    journal = Journal()
    with pytest.raises((ValueError, TypeError)):
        await make(agent, journal).run(BATCH)
    assert journal.lines == FAILED


async def test_changes_without_a_changelog_fail_before_anything_is_begun(make):
    async def agent(batch, state):
        return Result(changes={b"a": b"1"})

    journal = Journal()
    with pytest.raises(ValueError, match="changelog"):
        await make(agent, journal, changelog=None).run(BATCH)
    assert journal.lines == FAILED


async def test_a_batch_that_comes_to_nothing_still_moves_the_position(make):
    task = make(nothing, Journal())
    await task.run(BATCH)
    assert task.position == 13


async def test_closing_a_task_closes_its_state(make):
    journal = Journal()
    make(nothing, journal).close()
    assert journal.lines == [("close",)]


def fails_on(offset):
    """An agent with a bug; of each batch that it is given it remembers the offsets."""
    given = []

    async def agent(batch, state):
        given.append([record.offset for record in batch.records])
        if offset in given[-1]:
            raise KeyError("owner-1")
        return Result([Output(ADMITTED, b"key", admitted(event_id=str(n))) for n in given[-1]])

    return agent, given


def published(journal):
    return [
        codec.decode(message.value, PhotoAdmitted).event_id
        for kind, *more in journal.lines
        if kind == "publish"
        for message in more[0]
    ]


async def rejected(batch, state, detail):
    assert detail.startswith("KeyError at tests/unit/streams/test_task.py:")
    [record] = batch.records
    return Result([Output(ADMITTED, b"key", admitted(event_id=f"rejected {record.offset}"))])


async def test_the_third_time_every_record_is_a_transaction_of_its_own_and_the_culprit_is_rejected(make):
    journal = Journal()
    agent, given = fails_on(12)
    batch = replace(BATCH, records=[Record(10), Record(12), Record(13)])
    for tries in (1, 2):
        with pytest.raises(KeyError):
            await make(agent, journal, culprit=rejected).run(batch)
        assert journal.position == replace(START, tries=tries, suspect=13)
    assert published(journal) == []
    task = make(agent, journal, culprit=rejected)
    await task.run(replace(batch, records=[*batch.records, Record(14), Record(15)]))
    assert given == [[10, 12, 13], [10, 12, 13], [10], [12], [13], [14, 15]]
    assert published(journal) == ["10", "rejected 12", "13", "14", "15"]
    assert journal.position == Position(16, "topic-id")


async def test_a_culprit_that_cannot_be_rejected_ends_the_process_each_time(make):
    journal = Journal(position=replace(START, tries=2, suspect=12))
    agent, _ = fails_on(12)

    async def broken_too(batch, state, detail):
        raise RuntimeError("again")

    for culprit, error in ((broken_too, RuntimeError), (None, KeyError)):
        with pytest.raises(error):
            await make(agent, journal, culprit=culprit).run(BATCH)
        assert journal.position.offset in (10, 11, 12)
    assert published(journal) == ["10", "10"]
