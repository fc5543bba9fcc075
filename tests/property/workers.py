"""Workers that share one partition: each claims it, works, is killed, falls asleep, is cancelled, and loses answers.

A worker that is not told to go on sleeps, at whatever boundary it is; told to, after another has claimed the partition, it is a
zombie that wakes. What the workers do in between is streams/consumer.py's: take the partition up (claim, then settle), run a
batch, give the partition up.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from confluent_kafka import KafkaException
from hypothesis import strategies as st

from agents.batch import Batch
from schemas.errors import StrangeWorld
from streams.position import Position
from streams.step import Step
from streams.threads import finish
from tests.property.code import Code
from tests.property.machine import Machine, promised, scratch
from tests.support.batches import Read
from tests.support.fake_kafka import Broker
from tests.support.fake_kafka_clients import Line
from tests.support.mutants import Mutant
from tests.support.stepping import Loop, Process

OPERATOR = "an operator"
MOST_BOUNDARIES = 30  # of a claim and a batch
LONGEST_END = 2000  # boundaries of all that can be left
_NUMBER = st.integers(0, 1)
_THEN = st.sampled_from(["falls asleep", "is killed", "is cancelled"])


def accidents(*boundaries: Step) -> dict[str, tuple[Any, ...]]:
    """What happens to workers (for `events`), and the boundaries at which it does."""
    return {
        "works": (3, _NUMBER, st.integers(1, 4), st.integers(1, 3), st.integers(0, 1)),
        "works_until": (
            5,
            _NUMBER,
            st.integers(1, 4),
            st.sampled_from([Step.CLAIMING, *boundaries]),
            st.integers(1, 2),
            _THEN,
        ),
        "is_killed": (1, _NUMBER),
        "is_cancelled": (1, _NUMBER),
        "loses": (1, _NUMBER, st.sampled_from(["request", "answer"])),
        "gives_the_partition_up": (1, _NUMBER),
        "has_accidents": (1, _NUMBER, st.integers(1, 2)),
    }


class Bug(Exception):  # noqa: N818 (what it is)
    """What an agent raises."""


@dataclass
class Worker:
    """A place for one process after the other; `task` is what the process has claimed, `taken_up` and settled.

    `accidents`: how often it is to fail, whatever it reads.
    """

    line: Line
    folder: Path
    process: Process
    task: Any = None
    taken_up: bool = False
    accidents: int = 0


class Workers(Machine):
    """A subclass says what a task is (`claim`), what is promised (`look`), and, in its rule, what else happens."""

    group = "group"
    topic = "input"
    killed_at: ClassVar[Counter]

    def __init__(self, *mutants: Mutant) -> None:
        super().__init__()
        lines: dict[str, Line] = {}
        self.code = Code(lines, *mutants)  # before anything is open that a mutant without its rule would leave so
        self.loop = Loop()
        self.broker = Broker(self.loop.time)
        self.refused = False  # a strange world
        self._folder = scratch()
        self.workers = {
            str(number): Worker(Line(self.broker), Path(self._folder.name) / str(number), Process(self.loop))
            for number in range(2)
        }
        lines |= {name: worker.line for name, worker in self.workers.items()} | {OPERATOR: Line(self.broker)}

    def claim(self, name: str, worker: Worker) -> Any:
        """Blocking: a task."""
        raise NotImplementedError

    @property
    def position(self) -> Position:
        """What is committed."""
        offset, note = self.broker.positions.get((self.group, self.topic, 0), (0, Position(0, "").note))
        return Position.of(offset, note)

    def work(self, worker: Worker, *, buggy: bool) -> None:
        """What an agent's work begins with: raises Bug because of a record, or by accident.

        Not when the batch has failed twice already: a record that fails alone then is taken for the culprit, accident or not.
        """
        if buggy:
            raise Bug
        if worker.accidents and self.position.tries < 2:
            worker.accidents -= 1
            raise Bug

    # What happens to them; `number` chooses one of those that it can happen to

    def works(self, number, size, boundaries, which):
        name, worker = list(self.workers.items())[number]
        for _ in range(boundaries):
            self._on(name, worker, size, which)

    def works_until(self, number, size, step, times, then):
        """It reaches a boundary so many times."""
        name, worker = list(self.workers.items())[number]
        for _ in range(MOST_BOUNDARIES):
            self._on(name, worker, size)
            times -= worker.process.busy and worker.process.last is step
            if not times:
                break
        if then == "is killed":
            self._kill(worker)
        elif then == "is cancelled":
            self._cancel(worker)

    def is_killed(self, number):
        for worker in self._busy(number):
            self._kill(worker)

    def is_cancelled(self, number):
        for worker in self._busy(number):
            self._cancel(worker)

    def loses(self, number, what):
        for worker in self._busy(number):
            worker.line.loses = what  # of its next commit

    def has_accidents(self, number, accidents):
        list(self.workers.values())[number].accidents = accidents

    def gives_the_partition_up(self, number):
        worker = list(self.workers.values())[number]
        if worker.taken_up and not worker.process.busy:
            worker.task.close()
            worker.task, worker.taken_up = None, False

    def _busy(self, number: int) -> list[Worker]:
        busy = [worker for worker in self.workers.values() if worker.process.busy]
        return [busy[number % len(busy)]] if busy else []

    def _kill(self, worker: Worker) -> None:
        if worker.process.busy:
            type(self).killed_at[worker.process.last] += 1
        self.end(worker)

    def _cancel(self, worker: Worker) -> None:
        worker.process.cancel()
        self._see(worker)

    # What they come to

    def _on(self, name: str, worker: Worker, size: int, which: int = 0) -> None:
        if worker.process.work:
            worker.process.go_on(which)
        elif not worker.taken_up:
            worker.process.begin(self._take_up(name, worker))
        else:
            worker.process.begin(self._run(worker, size))
        self._see(worker)

    async def _take_up(self, name: str, worker: Worker) -> None:
        if worker.task is None:
            worker.task = await finish(worker.process, self.claim, name, worker)
        await worker.task.settle()
        worker.taken_up = True

    async def _run(self, worker: Worker, size: int) -> None:
        if records := self.readable(worker.task.position)[:size]:
            await worker.task.run(Batch(self.topic, 0, records))

    def readable(self, offset: int) -> list[Read]:
        entries, _ = self.broker.log(self.topic).readable(offset, uncommitted=False)
        return [Read(entry.value, entry.offset, int(entry.at * 1000), entry.key or b"") for entry in entries]

    def _see(self, worker: Worker) -> None:
        """What the app does when work has ended."""
        work = worker.process.work
        if work is None or not work.done():
            return
        worker.process.work = None
        if work.cancelled():
            worker.taken_up = False
        elif isinstance(error := work.exception(), KafkaException | StrangeWorld | Bug):
            self.refused = self.refused or isinstance(error, StrangeWorld)
            self.end(worker)
        elif error:
            raise error

    def end(self, worker: Worker) -> None:
        """The process is gone, wherever it was, and the next one begins."""
        worker.process.kill()
        self.code.let_go(worker.folder)
        worker.process, worker.task, worker.taken_up = Process(self.loop), None, False
        worker.line.loses = None

    def teardown(self) -> None:
        try:
            self.come_to_an_end()
        finally:
            for worker in self.workers.values():
                self.end(worker)
            self.loop.close()
            self._folder.cleanup()

    def come_to_an_end(self) -> None:
        """Whoever sleeps wakes; then one worker does what is left, unless it refuses a strange world."""
        for name in reversed(self.workers):
            worker = self.workers[name]
            worker.line.loses, worker.accidents = None, 0
            for _ in range(MOST_BOUNDARIES):
                if worker.process.work:
                    self._on(name, worker, 5)
        name, worker = next(iter(self.workers.items()))
        self.end(worker)
        self.refused = False
        for _ in range(LONGEST_END):
            if self.refused or (
                worker.taken_up and not worker.process.work and not self.readable(worker.task.position)
            ):
                break
            self._on(name, worker, 5)
        else:
            promised("what is left is done at last", holds=False)
        self.look()
