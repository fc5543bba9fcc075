"""The pipeline on one page: which agent reads what, publishes what, remembers what, and what its function needs.

    photos.events ─► admit ─► photos.admitted ─► enrich ─► photos.enriched ─► group ─► photos.grouped ─► store ─► ClickHouse

Beside the road: a photo that something is missing of goes from enrich to photos.waiting, and resume returns it to photos.admitted;
admit sends what it refuses straight to photos.enriched, and bytes that are no event to photos.dead_letter;
every worker's metrics travel on ops.metrics; store reads both.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import TypedDict

from agents.batch import Agent, Guarded
from agents.measure import Measure
from agents.retry import Retry
from schemas.errors import StrangeWorld
from schemas.metrics import WAITED
from schemas.topics import (
    ADMIT_CHANGELOG,
    ADMITTED,
    DEAD_LETTER,
    ENRICH_CHANGELOG,
    ENRICHED,
    EVENTS,
    GROUP_CHANGELOG,
    GROUPED,
    METRICS,
    WAITING,
    Topic,
)
from streams.pace import inserts_within
from streams.pending import Sink
from streams.settings import Settings

Work = Agent | Sink
"""What a worker does with a batch: an agent's outputs go to Kafka, a sink's rows to ClickHouse."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One agent's place in the pipeline. `open` binds its function to what that needs, for as long as the worker runs.

    `rests`: how far apart batches of a partition begin at least, while there are few records. What a batch costs hardly depends on its
    size: a transaction, or an INSERT for each table. So a steady trickle would cost as much as a torrent.
    """

    agent: str
    sources: tuple[Topic, ...]
    open: Callable[[Settings, Measure], AbstractAsyncContextManager[Work]]
    publishes: tuple[Topic, ...] = ()
    changelog: Topic | None = None
    batch_records: Callable[[Settings], int] = lambda settings: settings.batch_records
    rests: Mapping[Topic, timedelta] = field(default_factory=dict)

    @property
    def topics(self) -> tuple[Topic, ...]:
        """All that have to be on the broker."""
        return (*self.sources, *self.publishes, *([self.changelog] if self.changelog else []), METRICS)


# Each imports its agent itself: a worker loads what its own agent needs, and image and model code is heavy.


@asynccontextmanager
async def _admit(settings: Settings, measure: Measure) -> AsyncIterator[Work]:
    from agents import culprit  # noqa: PLC0415
    from agents.admit import Rules, admit  # noqa: PLC0415

    rules = Rules(
        generation=settings.generation,
        partitions=settings.partitions,
        remember=settings.remember,
        hash_key=_hash_key(settings),
        version=version("safelight"),
    )
    yield Guarded(
        partial(admit, rules=rules, clock=_now, measure=measure),
        partial(
            culprit.of_admit,
            generation=rules.generation,
            partitions=rules.partitions,
            version=rules.version,
            clock=_now,
            measure=measure,
        ),
    )


class _OfPhotos(TypedDict):
    """Where photos are, and who looks at them."""

    object_roots: Sequence[str]
    private_roots: Sequence[str]
    max_object_bytes: int
    triton: str
    models: Sequence[str]


def _of_photos(settings: Settings) -> _OfPhotos:
    return _OfPhotos(
        object_roots=settings.object_roots,
        private_roots=settings.private_roots,
        max_object_bytes=settings.max_object_bytes,
        triton=settings.triton,
        models=settings.models,
    )


@asynccontextmanager
async def _enrich(settings: Settings, measure: Measure) -> AsyncIterator[Work]:
    from agents import culprit  # noqa: PLC0415
    from agents.enrich import enrich  # noqa: PLC0415
    from agents.look import open_look  # noqa: PLC0415
    from agents.photo.decoders import Limits  # noqa: PLC0415

    async with open_look(
        **_of_photos(settings),
        measure=measure,
        decoders=settings.decoders,
        limits=Limits(memory_bytes=settings.decoder_bytes),
    ) as look:
        this = version("safelight")
        yield Guarded(
            partial(enrich, look=look, keep=settings.keep_results, version=this, clock=_now, measure=measure),
            partial(culprit.of_enrich, version=this, clock=_now, measure=measure),
        )


@asynccontextmanager
async def _resume(settings: Settings, measure: Measure) -> AsyncIterator[Work]:
    from agents import culprit  # noqa: PLC0415
    from agents.resume import open_back, resume  # noqa: PLC0415

    async with open_back(**_of_photos(settings), measure=measure) as back:
        this = version("safelight")
        yield Guarded(
            partial(resume, back=back, patience=settings.patience, version=this, clock=_now, measure=measure),
            partial(culprit.of_resume, version=this, clock=_now, measure=measure),
        )


@asynccontextmanager
async def _group(settings: Settings, measure: Measure) -> AsyncIterator[Work]:
    from agents import culprit  # noqa: PLC0415
    from agents.group import group  # noqa: PLC0415

    key = _hash_key(settings)
    yield Guarded(
        partial(group, hash_key=key, measure=measure),
        partial(culprit.of_group, hash_key=key, version=version("safelight"), clock=_now, measure=measure),
    )


@asynccontextmanager
async def _store(settings: Settings, measure: Measure) -> AsyncIterator[Work]:
    from agents import culprit  # noqa: PLC0415
    from agents.store import store  # noqa: PLC0415
    from sinks.clickhouse.entries import TABLES  # noqa: PLC0415
    from sinks.clickhouse.writer import ClickHouseWriter  # noqa: PLC0415

    retry = Retry("clickhouse", on_wait=partial(measure.count, WAITED, dependency="clickhouse"))
    writer = await retry(
        partial(
            ClickHouseWriter.open,
            url=settings.clickhouse_url,
            user=settings.clickhouse_user,
            password=settings.clickhouse_password.get_secret_value(),
            database=settings.database,
        )
    )
    try:
        worth = max(settings.pending_age, _DAY)
        remembered = inserts_within(worth) * (settings.partitions + DEAD_LETTER.partitions)
        if writer.memory.inserts < remembered or (writer.memory.age or worth) < worth:
            raise StrangeWorld(
                f"ClickHouse's tables in {settings.database} remember too few inserts ({writer.memory.inserts} of {remembered}) or forget "
                f"them too soon to be worth {worth}: `safelight migrate` makes them remember enough for a day, which is the least"
            )
        rejected = partial(culprit.of_store, version=version("safelight"), measure=measure)

        async def entries(topic: str, partition: int) -> str:
            partitions = {topic.name: settings.partitions_of(topic) for topic in (GROUPED, DEAD_LETTER, METRICS)}
            return TABLES[topic] if await writer.holds(topic, partition, partitions[topic]) else ""

        yield Sink(partial(store, measure=measure), writer, retry, rejected, entries)
    finally:
        await writer.close()


_DAY = timedelta(days=1)
"""What ClickHouse has to remember inserts for at least, at the rate that a worker may insert."""

_BRIEFLY = timedelta(seconds=0.1)
_INSERTS = timedelta(seconds=0.5)

FLOWS = {
    flow.agent: flow
    for flow in (
        Flow("admit", (EVENTS,), _admit, (ADMITTED, ENRICHED, DEAD_LETTER), ADMIT_CHANGELOG, rests={EVENTS: _BRIEFLY}),
        Flow(
            "enrich",
            (ADMITTED,),
            _enrich,
            (ENRICHED, WAITING),
            ENRICH_CHANGELOG,
            batch_records=lambda settings: settings.enrich_batch_records,
        ),
        Flow("resume", (WAITING,), _resume, (ADMITTED, WAITING, ENRICHED)),
        Flow("group", (ENRICHED,), _group, (GROUPED,), GROUP_CHANGELOG, rests={ENRICHED: 2 * _BRIEFLY}),
        Flow(
            "store",
            (GROUPED, DEAD_LETTER, METRICS),
            _store,
            rests={GROUPED: _INSERTS, DEAD_LETTER: _INSERTS, METRICS: 4 * _INSERTS},
        ),
    )
}


def _hash_key(settings: Settings) -> bytes:
    """Raises StrangeWorld when there is none: hashes without a key can be undone by guessing ids."""
    key = settings.hash_key.get_secret_value()
    if not key:
        raise StrangeWorld(
            "SAFELIGHT_HASH_KEY is empty: set it to a long random text, the same on every worker and for good, "
            "since ids are remembered under hashes made with it"
        )
    return key.encode()


def _now() -> datetime:
    return datetime.now(UTC)
