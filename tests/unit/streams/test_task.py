from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from agents.batch import Batch, Output, Result
from schemas import codec
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

        def make(agent, journal, changelog="ns.changelog"):
            return Task(
                journal,
                agent,
                journal,
                changelog=changelog,
                topic=lambda topic: f"ns.{topic.name}",
                threads=threads,
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
    assert journal.lines == [(Step.READ,), (Step.WORKED,)]


async def test_changes_without_a_changelog_fail_before_anything_is_begun(make):
    async def agent(batch, state):
        return Result(changes={b"a": b"1"})

    journal = Journal()
    with pytest.raises(ValueError, match="changelog"):
        await make(agent, journal, changelog=None).run(BATCH)
    assert journal.lines == [(Step.READ,), (Step.WORKED,)]


async def test_a_batch_that_comes_to_nothing_still_moves_the_position(make):
    task = make(nothing, Journal())
    await task.run(BATCH)
    assert task.position == 13


async def test_closing_a_task_closes_its_state(make):
    journal = Journal()
    make(nothing, journal).close()
    assert journal.lines == [("close",)]
