"""What an agent is given, and what it returns.

An agent is a function: one partition's run of records and a view of that partition's state in, a `Result` out. It neither
publishes nor commits: streams/task.py does both, in one transaction, so an agent may be run again on the same records and
needs to be neither deterministic nor careful.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

from schemas import codec
from schemas.events import EVENTS, Event
from schemas.topics import Topic

E_co = TypeVar("E_co", bound=Event, covariant=True)


class Record(Protocol):
    """A Kafka record as it was read (aiokafka's ConsumerRecord fits)."""

    @property
    def key(self) -> bytes | None:
        """What decided the partition."""

    @property
    def value(self) -> bytes | None:
        """The event in wire format; None deletes, in a changelog."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """When the broker appended it (LogAppendTime), in milliseconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One partition's run of records, in order, never empty. `topic` is the contract's name, without a namespace."""

    topic: str
    partition: int
    records: Sequence[Record]

    @property
    def next(self) -> int:
        """The position after the batch."""
        return self.records[-1].offset + 1

    def deliveries(self, *types: type[E_co]) -> Iterator["Delivery[E_co]"]:
        """Every record decoded. Raises Unreadable: on a topic that only agents write to, that is a bug."""
        for record in self.records:
            event = codec.decode(record.value or b"", *types)
            yield Delivery(event, self.partition, record.offset, appended_at(record))


@dataclass(frozen=True, slots=True)
class Delivery(Generic[E_co]):
    """A decoded event and where it was read."""

    event: E_co
    partition: int
    offset: int
    appended_at: datetime


def appended_at(record: Record) -> datetime:
    """When the broker appended the record, UTC."""
    return _utc(record.timestamp)


@lru_cache(maxsize=1024)  # records that were appended together have the same
def _utc(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


class State(Protocol):
    """A partition's state as an agent sees it: what was committed, read only."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where there is none, in the order of the keys."""


@dataclass(frozen=True, slots=True)
class Output:
    """One event to publish. The key decides the partition (murmur2)."""

    topic: Topic
    key: bytes
    event: Event

    @property
    def value(self) -> bytes:
        """The event in wire format. Raises as codec.encode does."""
        return codec.encode(self.event)


@dataclass(frozen=True, slots=True)
class Written:
    """An Output that its agent has written itself, since it knows a cheaper way than codec.encode."""

    topic: Topic
    key: bytes
    value: bytes

    @property
    def event(self) -> Event:
        """What was written."""
        return codec.decode(self.value, *EVENTS)


@dataclass(frozen=True, slots=True)
class Result:
    """What one batch comes to: events to publish, and changes of the state (None deletes)."""

    outputs: list[Output | Written] = field(default_factory=list)
    changes: dict[bytes, bytes | None] = field(default_factory=dict)


class Agent(Protocol):
    """The shape of admit, enrich and group, once streams/topology.py has bound what else they need."""

    async def __call__(self, batch: Batch, state: State) -> Result:
        """Never raises Rejected or Unavailable: the first is an outcome, the second is waited out at the call."""


class Culprit(Protocol):
    """What becomes of a record on which an agent fails every time: agents/culprit.py has one for each agent."""

    async def __call__(self, batch: Batch, state: State, detail: str) -> Result:
        """The record's rejection as an internal error. The batch has one record; `detail` names no content."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """An agent, and what becomes of a record on which it fails every time."""

    agent: Agent
    culprit: Culprit

    async def __call__(self, batch: Batch, state: State) -> Result:
        """As the agent."""
        return await self.agent(batch, state)
