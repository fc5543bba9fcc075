"""What is not as it must be, by name, with examples for people; and how the records of a topic are held against what must be there."""

import dataclasses
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from schemas.events import DeadLetter, Event, PhotoAdmitted, PhotoEnriched, PhotoRejected
from schemas.partitioning import partition_of
from schemas.topics import Topic
from tests.chaos.expected import Run
from tests.chaos.records import Decoded
from tests.support.batches import Read

_MOST_EXAMPLES = 20
_MOST_OF_ONE = 3  # so that none crowds out the others
_LONGEST = 160  # characters of a value

CLOCKS: Mapping[type[Event], str] = {
    PhotoAdmitted: "admitted_at",
    PhotoEnriched: "enriched_at",
    PhotoRejected: "rejected_at",
    DeadLetter: "rejected_at",
}
"""What an agent takes from the wall clock when it makes an event: the one thing that the same agent would write otherwise."""


class Differences:
    """Collects what differs. `names`: of topics and tables, in the order found; `examples`: at most 20 lines, few of each name."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.examples: list[str] = []
        self._of_one: Counter[str] = Counter()

    def add(self, name: str, what: str) -> None:
        """One difference in what `name` names."""
        if name not in self._of_one:
            self.names.append(name)
        self.example(name, what)

    def add_all(self, name: str, differences: Iterable[str]) -> None:
        """Each of them."""
        for what in differences:
            self.add(name, what)

    def example(self, name: str, what: str) -> None:
        """A line for people alone."""
        self._of_one[name] += 1
        if self._of_one[name] <= _MOST_OF_ONE and len(self.examples) < _MOST_EXAMPLES:
            self.examples.append(f"{name}: {what}")


Identity = tuple[Any, int, int]


@dataclasses.dataclass(slots=True)
class _Expected:
    """A record that must be there, its writer (the partition that a task reads) and which of the writer's records it is."""

    partition: int
    key: bytes
    event: Event
    writer: tuple[str, int]
    number: int


class ExpectedRecords:
    """The records that agents publish on a topic, one by one taken off as they are found."""

    def __init__(self, topic: Topic, partitions: int, runs: Iterable[Run]) -> None:
        self._topic = topic
        self._left: dict[Identity, deque[_Expected]] = defaultdict(deque)
        self._last: dict[tuple[int, str, int], int] = {}
        for run in runs:
            writer = (run.topic.name, run.partition)
            for number, output in enumerate(run.on(topic)):
                partition = partition_of(output.key, partitions)
                record = _Expected(partition, output.key, output.event, writer, number)
                self._left[_identity(output.event)].append(record)

    def compare(self, batch: Decoded, found: Differences) -> None:
        """Take off the records of a partition as they stand; tell what must not be there, or not so, or not in this order."""
        partition = batch.partition
        for offset, why in batch.unreadable.items():
            found.add(self._topic.name, f"partition {partition}, offset {offset} holds what no agent publishes ({why})")
        for record, delivery in zip(batch.records, batch.decoded, strict=True):
            where, event = f"partition {partition}, offset {record.offset}", delivery.event
            left = self._left.get(_identity(event))
            if not left:
                found.add(self._topic.name, f"{where} holds {_named(event)}, which must not be there, or not again")
                continue
            expected = left.popleft()
            if differs := ", ".join(_differing(expected, partition, record.key, event)):
                found.add(self._topic.name, f"{where}, {_named(event)}: {differs}")
            at = (partition, *expected.writer)
            if expected.number < self._last.get(at, -1):
                found.add(self._topic.name, f"{where} holds {_named(event)} behind what the same task published later")
            self._last[at] = expected.number

    def rest(self, found: Differences) -> None:
        """Tell what was not found."""
        for left in self._left.values():
            for expected in left:
                found.add(self._topic.name, f"{_named(expected.event)} is missing in partition {expected.partition}")


def compare_changelog(topic: Topic, run: Run, records: Iterable[Read], found: Differences) -> None:
    """Hold the last value of each key of a changelog's partition against the state that the agent ends with."""
    actual: dict[bytes, bytes | None] = {record.key or b"": record.value for record in records}
    for key in run.state.keys() | actual.keys():
        expected, value = run.state.get(key), actual.get(key)
        if value != expected:
            what = f"is {_hexadecimal(value)}, must be {_hexadecimal(expected)}"
            found.add(topic.name, f"partition {run.partition}, key {key.hex()}: {what}")


def shortened(value: object) -> str:
    """A value for people."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _identity(event: Any) -> Identity:
    return event.root, event.attempt, event.fill


def _named(event: Any) -> str:
    root = event.root
    again = f" (attempt {event.attempt}, fill {event.fill})" if event.attempt or event.fill else ""
    return f"a {type(event).__name__} of root {root.generation}-{root.partition}-{root.offset}{again}"


def _differing(expected: _Expected, partition: int, key: bytes | None, event: Event) -> Iterator[str]:
    if type(event) is not type(expected.event):
        yield f"must be a {type(expected.event).__name__}"
        return
    if partition != expected.partition:
        yield f"must be in partition {expected.partition}"
    if key != expected.key:
        yield f"key is {shortened(key)}, must be {shortened(expected.key)}"
    clock = CLOCKS.get(type(event))
    if clock is None and event == expected.event:
        return
    actual, must = vars(event), vars(expected.event)
    for name, value in must.items():
        if name != clock and actual[name] != value:
            yield f"{name} is {shortened(actual[name])}, must be {shortened(value)}"


def _hexadecimal(value: bytes | None) -> str:
    return "missing" if value is None else shortened(value.hex())
