"""What must be: the pure agents, run once over the topics as they stand, each over all that is there for it.

The functions are those that the workers run, bound by the same wiring (streams/topology.py); none of the engine is: no claims,
no transactions, no local store, no pending ranges, and other batches than the workers made.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from agents.batch import Agent, Batch, Output
from agents.enrich import Content, Look, Seen
from agents.store import store
from schemas.errors import Rejected
from schemas.events import PhotoAdmitted
from schemas.tables import Rows
from schemas.topics import ADMITTED, ENRICHED, EVENTS, METRICS, Topic
from streams.settings import Settings
from streams.topology import FLOWS, Work
from tests.chaos.records import Decoded
from tests.support.batches import Read

_BATCH_RECORDS = 5_000


class Unmeasured:
    """A Measure that forgets."""

    def count(self, metric, amount=1, **labels):
        """Forget it."""

    def observe(self, metric, seconds, **labels):
        """Forget it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What an agent publishes when it reads one partition from its beginning, in order, and the state that it ends with."""

    topic: Topic
    partition: int
    outputs: list[Output]
    state: dict[bytes, bytes] = field(default_factory=dict)

    def on(self, topic: Topic) -> list[Output]:
        """What it publishes on a topic."""
        return [output for output in self.outputs if output.topic is topic]


class _Memory(dict[bytes, bytes]):
    """A state that is a dictionary."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def apply(self, changes) -> None:
        for key, value in changes.items():
            if value is None:
                self.pop(key, None)
            else:
                self[key] = value


@dataclass(frozen=True, slots=True)
class PureAgents:
    """Each agent as a function of one partition of what it reads. Use open_agents()."""

    _admit: Agent
    _enrich: Agent
    _group: Agent

    async def admit(self, partition: int, records: Sequence[Read]) -> Run:
        """Over a partition of photos.events."""
        return await _run(self._admit, EVENTS, partition, _batches(EVENTS, partition, records))

    async def enrich(self, batch: Decoded) -> Run:
        """Over a partition of photos.admitted."""
        return await _run(self._enrich, ADMITTED, batch.partition, batch.slices(_BATCH_RECORDS))

    async def group(self, batch: Decoded) -> Run:
        """Over a partition of photos.enriched."""
        return await _run(self._group, ENRICHED, batch.partition, batch.slices(_BATCH_RECORDS))

    def store(self, batch: Decoded) -> Iterator[Rows]:
        """Over a partition of photos.grouped or photos.dead_letter."""
        return _rows(batch.slices(_BATCH_RECORDS))

    def store_metrics(self, partition: int, records: Sequence[Read]) -> Iterator[Rows]:
        """Over a partition of ops.metrics."""
        return _rows(_batches(METRICS, partition, records))


def _rows(batches: Iterable[Batch]) -> Iterator[Rows]:
    # The function alone: what opens for store's worker would refuse tables that a round means to show at fault.
    for batch in batches:
        yield from store(batch, measure=Unmeasured())


async def _run(agent: Agent, topic: Topic, partition: int, batches: Iterable[Batch]) -> Run:
    state, outputs = _Memory(), []
    for batch in batches:
        result = await agent(batch, state)
        outputs += result.outputs
        state.apply(result.changes)
    return Run(topic, partition, outputs, state)


@asynccontextmanager
async def open_agents(settings: Settings, look: Look | None = None) -> AsyncIterator[PureAgents]:
    """The agents. `look`: None is the real one, at the objects and through the Triton of the settings."""
    measure = Unmeasured()
    async with AsyncExitStack() as stack:
        admit, enrich, group = [
            _function(await stack.enter_async_context(FLOWS[agent].open(settings, measure)))
            for agent in ("admit", "enrich", "group")
        ]
        yield PureAgents(admit, partial(enrich, look=Memo(look or enrich.keywords["look"])), group)


def _function(work: Work) -> partial:
    """The agent as it is bound, without what becomes of a record on which it always fails: no record is such a one here."""
    function = getattr(work, "agent", work)
    assert isinstance(function, partial)
    return function


class Memo:
    """Looks once at each object under each description: what is seen depends on nothing else, since objects do not change."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._answers: dict[tuple[str, bytes, int], asyncio.Task[Seen | Rejected]] = {}

    async def __call__(self, photo: PhotoAdmitted, content: Content) -> Seen:
        """As the look that it remembers."""
        described = (photo.object_uri, photo.content_sha256, photo.size_bytes)
        if described not in self._answers:
            self._answers[described] = asyncio.create_task(self._answer(photo, content))
        answer = await self._answers[described]  # which costs no turn of the loop once it is there
        if isinstance(answer, Rejected):
            raise Rejected(answer.reason, answer.detail)
        content.known = content.known or answer.content
        return answer

    async def _answer(self, photo: PhotoAdmitted, content: Content) -> Seen | Rejected:
        try:
            return await self._look(photo, content)
        except Rejected as why:
            return why


def _batches(topic: Topic, partition: int, records: Sequence[Read]) -> Iterator[Batch]:
    for first in range(0, len(records), _BATCH_RECORDS):
        yield Batch(topic.name, partition, records[first : first + _BATCH_RECORDS])
