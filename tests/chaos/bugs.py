"""Teeth: bugs that others have had, seeded into a worker under test. A round must notice each, or it is worth nothing.

Each replaces one rule of the engine inside the worker's process, and says where it bites. Nothing here is in the product.
"""

import asyncio
import random
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import confluent_kafka

from agents.batch import Batch
from sinks.clickhouse import writer
from sinks.clickhouse.client import connect
from streams import app, claim, consumer, pending, standalone, state, task
from streams.position import Position
from streams.settings import Settings
from streams.step import Step
from tests.chaos.arms import Action
from tests.chaos.plan import AGENTS


def _nothing(*_: object) -> None:
    """What most bugs need of the database."""


@dataclass(frozen=True, slots=True)
class Bug:
    """`seed` plants it in a worker's process; `prepare` in the database. It bites at these boundaries of these agents.

    `weather`: what a worker has to live with, with the bug and without it (see `named`), for the bug to bite often.
    """

    what: str
    seed: Callable[[], None]
    at: Sequence[str]
    agents: Sequence[str] = AGENTS
    action: Action = Action.KILL
    prepare: Callable[[Settings], None] = _nothing
    weather: Callable[[], None] = _nothing


@dataclass(frozen=True)
class _Half(Batch):
    """Some of a batch's records, that commits the whole batch's end."""

    end: int = 0

    @property
    def next(self) -> int:
        return self.end


def commit_past_work_under_way() -> None:
    """Faust's own rule: the highest offset that is done is committed, whatever is still in work below it."""
    run = task.Task.run

    async def in_halves(self: task.Task, batch: Batch) -> None:
        middle = len(batch.records) // 2
        for records in (batch.records[middle:], batch.records[:middle]):
            if records:
                await run(self, _Half(batch.topic, batch.partition, records, batch.next))

    task.Task.run = in_halves


class _AnyEpoch(int):
    """Equal to every epoch."""

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def deliver_what_was_taken_before_a_seek() -> None:
    """No epochs: what was fetched is delivered, sought or not."""
    fetch = consumer.BatchThread._fetch_records

    async def of_any_epoch(self: consumer.BatchThread, *args: Any, **kwargs: Any) -> Any:
        taken = await fetch(self, *args, **kwargs)
        return {tp: consumer.Taken(_AnyEpoch(), run.records) for tp, run in taken.items()}

    consumer.BatchThread._fetch_records = of_any_epoch


def _hand_over_slowly() -> None:
    """What was fetched reaches the loop up to a session later."""
    getmany = consumer.BatchConsumer._getmany

    async def slowly(self: consumer.BatchConsumer, *args: Any, **kwargs: Any) -> Any:
        taken = await getmany(self, *args, **kwargs)
        if taken:
            await asyncio.sleep(random.uniform(0, 2))
        return taken

    consumer.BatchConsumer._getmany = slowly


def commit_offsets_outside_the_transaction() -> None:
    """Position first, in a transaction of its own; outputs then."""
    init = claim.Claim.__init__

    def with_another(self: claim.Claim, brokers: str, group: Any, source: Any, *args: Any, **others: Any) -> None:
        init(self, brokers, group, source, *args, **others)
        identity = f"offsets-of-{group.name}-{source}"
        self.another = confluent_kafka.Producer({"bootstrap.servers": brokers, "transactional.id": identity})
        self.another.init_transactions(30)

    def commit(self: claim.Claim, position: Any) -> None:
        here = confluent_kafka.TopicPartition(self.source.topic, self.source.partition, position.offset, position.note)
        self.another.begin_transaction()
        self.another.send_offsets_to_transaction([here], self._group.metadata(), 30)
        self.another.commit_transaction(30)
        self._reached(Step.POSITIONED)
        self._producer.commit_transaction(30)
        self.position = position
        self.committed = True

    claim.Claim.__init__ = with_another
    claim.Claim.commit = commit


def name_every_claim_anew() -> None:
    """A transactional id that nobody had before fences nobody."""
    real = claim.Producer

    def producer(config: dict[str, Any]) -> Any:
        return real(config | {"transactional.id": f"{config['transactional.id']}-{uuid.uuid4()}"})

    claim.Producer = producer


def write_the_state_before_the_commit() -> None:
    """The local store runs ahead of what is committed."""
    init = task.Task.__init__

    def eager(self: task.Task, made: Any, agent: Any, kept: Any, **others: Any) -> None:
        async def worked(batch: Batch, view: Any) -> Any:
            result = await agent(batch, view)
            if result.changes:
                kept.apply(result.changes, kept.offset)
            return result

        init(self, made, worked, kept, **others)

    task.Task.__init__ = eager


def restore_what_was_aborted() -> None:
    """A restore that reads uncommitted records.

    What refuses a state without a position is left out too: it would notice, and end the round before harm is done.
    """
    state.reading = lambda brokers: standalone.reading(brokers, {"isolation.level": "read_uncommitted"})
    restored = app.restored

    def unasked(folder: Any, claim: Any, *args: Any, **kwargs: Any) -> Any:
        claim.committed = True
        return restored(folder, claim, *args, **kwargs)

    app.restored = unasked


def read_what_was_aborted() -> None:
    """A reader that reads uncommitted records."""
    create = consumer.BatchThread._create_worker_consumer

    def uncommitted(self: consumer.BatchThread, transport: Any) -> Any:
        made = create(self, transport)
        made._isolation_level = "read_uncommitted"
        return made

    consumer.BatchThread._create_worker_consumer = uncommitted


def abandon_a_commit_when_cancelled() -> None:
    """A cancelled batch leaves its commit to itself."""

    async def abandon(threads: Any, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await asyncio.wrap_future(threads.submit(call, *args, **kwargs))

    task.finish = abandon


def insert_under_a_random_token() -> None:
    """Every INSERT is new to ClickHouse."""
    pending.PendingTask._token = lambda *_: str(uuid.uuid4())


def insert_without_a_pending_range() -> None:
    """No first commit: the token knows where the batch begins, and nobody knows where it ended."""
    commit = pending.PendingTask._commit

    async def final_only(self: pending.PendingTask, position: Position) -> None:
        if position.pending is None:
            await commit(self, position)

    pending.PendingTask._commit = final_only
    _ask_nobody_whether_it_began()


def insert_ranges_that_nobody_committed() -> None:
    """As the last, with tokens of whole ranges: right as long as every batch is cut the same again, which it is not."""
    commit = pending.PendingTask._commit

    async def remember_only(self: pending.PendingTask, position: Position) -> None:
        if position.pending is None:
            await commit(self, position)
        else:
            self._claim.position = position

    pending.PendingTask._commit = remember_only
    _ask_nobody_whether_it_began()


def _ask_nobody_whether_it_began() -> None:
    """What refuses rows without a position is left out too: it would notice, and end the round before harm is done."""

    async def unasked(_self: pending.PendingTask) -> None:
        return None

    pending.PendingTask._check_begun = unasked


def forget_inserts_in_rollups(settings: Settings) -> None:
    """Rollups without a deduplication window."""
    user, password = settings.clickhouse_user, settings.clickhouse_password.get_secret_value()
    with closing(connect(url=settings.clickhouse_url, user=user, password=password)) as client:
        rollups = client.query(
            "SELECT name FROM system.tables WHERE database = {database:String} AND name LIKE '%_by_minute'",
            {"database": settings.database},
        ).result_rows
        for (name,) in rollups:
            table = f"{settings.database}.{name}"
            client.command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 0")


def _blind_to_windows() -> None:
    writer._memory = lambda *_: writer.Memory(10**9, timedelta(days=365))


_BATCH = (Step.BEGUN, Step.PUBLISHED, Step.POSITIONED, Step.COMMITTED)
_SINK = (Step.INSERTED, Step.POSITIONED, Step.INSERTING)
_KAFKA = ("admit", "enrich", "group")

BUGS = {
    bug.seed.__name__ if bug.prepare is _nothing else bug.prepare.__name__: bug
    for bug in (
        Bug("Faust's own commit rule", commit_past_work_under_way, _BATCH, _KAFKA),
        Bug(
            "records taken before a seek, delivered after it",
            deliver_what_was_taken_before_a_seek,
            (Step.REBALANCING, Step.READ, Step.WORKED),
            weather=_hand_over_slowly,
        ),
        Bug(
            "offsets committed outside the transaction",
            commit_offsets_outside_the_transaction,
            (Step.POSITIONED,),
            _KAFKA,
        ),
        Bug(
            "a transactional id that is new at every start",
            name_every_claim_anew,
            (Step.WORKED, Step.BEGUN, Step.PUBLISHED),
            _KAFKA,
            Action.STOP,
        ),
        Bug(
            "local state written before the commit",
            write_the_state_before_the_commit,
            (Step.WORKED, Step.BEGUN, Step.PUBLISHED),
            ("admit", "group"),
        ),
        Bug(
            "a restore that reads uncommitted records",
            restore_what_was_aborted,
            (Step.PUBLISHED, Step.POSITIONED),
            ("admit", "group"),
        ),
        Bug(
            "a reader that reads uncommitted records", read_what_was_aborted, (Step.PUBLISHED, Step.POSITIONED), _KAFKA
        ),
        Bug(
            "a cancelled batch that abandons its commit",
            abandon_a_commit_when_cancelled,
            (Step.PUBLISHED, Step.POSITIONED),
            ("enrich",),
            Action.HANG,
        ),
        Bug("a random insert token", insert_under_a_random_token, _SINK, ("store",)),
        Bug("no pending range", insert_without_a_pending_range, _SINK, ("store",)),
        Bug(
            "a rollup without its deduplication window",
            _blind_to_windows,
            _SINK,
            ("store",),
            prepare=forget_inserts_in_rollups,
        ),
        Bug(
            "a batch size that changes between crash and restart without pending",
            insert_ranges_that_nobody_committed,
            _SINK,
            ("store",),
        ),
    )
}
"""By the name that `--bug` takes."""

WITHOUT = "without "


def named(name: str) -> Bug:
    """A bug of BUGS; with "without " before its name, nothing of it but its weather."""
    bug = BUGS[name.removeprefix(WITHOUT)]
    return replace(bug, seed=_nothing, prepare=_nothing) if name.startswith(WITHOUT) else bug
