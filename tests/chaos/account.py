"""The account at the end of a round: is every record that was sent in exactly one place, and is everything else as it must be?

Three questions, each asked in its own way, so that one wrong answer does not hide another:

1. By the feeder's list alone: what does ClickHouse hold of each record, by its root?
2. Is every topic what the pure agents, run once over the topics as they stand, would have written?
3. Is every table what they would have written, and every rollup what its table comes to?

Only what agents and ClickHouse take from the wall clock is left out, and what is no outcome of photos; the account names it.
"""

import asyncio
import gc
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from agents.enrich import Look
from ops.database import database
from schemas.tables import TABLES
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
    TOPICS,
    WAITING,
    Topic,
)
from streams.settings import Settings
from tests.chaos.differences import Differences, ExpectedRecords, compare_changelog
from tests.chaos.expected import PureAgents, Run, open_agents
from tests.chaos.records import Decoded, Log, Unsettled, positions, reading
from tests.chaos.sent import Fate, Sent
from tests.chaos.tables import LATENCIES, NOT_OF_PHOTOS, WALL_CLOCK, Tables, beside


@dataclass(frozen=True, slots=True)
class Account:
    """What a round came to.

    `lost`: records sent of which something that must be there is not. `duplicated`: roots, sent or not, of which something is
    there that must not be, or more than once. `settled`: records sent that have exactly what they must have. `mismatched`: names
    of topics, tables, rollups and changelogs that are not what they must be. `excluded_columns`: what was not compared.
    """

    published: int
    settled: int
    lost: int
    duplicated: int
    mismatched: list[str]
    examples: list[str]
    excluded_columns: dict[str, list[str]]

    @property
    def exact(self) -> bool:
        """Whether everything is as it must be."""
        return self.settled == self.published and not self.lost and not self.duplicated and not self.mismatched


def account(settings: Settings, sent: Sequence[Sent], look: Look | None = None) -> Account:
    """Account for a round, all agents being at the end of their topics and the store workers stopped.

    `look`: what enrich looks with; None asks the models of the settings. Raises Unsettled when the round is not at its end.
    """
    # Of millions of objects that live to the end there is nothing to collect, and looking through them doubles the time.
    gc.disable()
    try:
        return asyncio.run(_account(settings, sent, look))
    finally:
        gc.enable()


async def _account(settings: Settings, sent: Sequence[Sent], look: Look | None) -> Account:
    found = Differences()
    metrics_before = _stored_metrics(settings)
    with database(settings) as client, reading(settings) as log:
        _compare_events(sent, log, found)
        settlements = _settlements(settings.generation, sent, client, found)
        async with open_agents(settings, look) as agents:
            with beside(client, settings.database) as tables:
                await _compare_topics(agents, log, tables, found)
                for partition in log.partitions(METRICS):
                    records = log.read(METRICS, partition, before=metrics_before[partition])
                    tables.expect(agents.store_metrics(partition, records))
                tables.compare(found)
    if _stored_metrics(settings) != metrics_before:
        raise Unsettled("store went on storing metrics during the account: stop its workers first")
    return Account(
        published=len(sent),
        **settlements,
        mismatched=found.names,
        examples=found.examples,
        excluded_columns=EXCLUDED,
    )


EXCLUDED = {
    # What admit and enrich take from the clock (tests/chaos/differences.py, CLOCKS).
    ADMITTED.name: ["admitted_at"],
    ENRICHED.name: ["enriched_at", "rejected_at"],
    DEAD_LETTER.name: ["rejected_at"],
    # What workers measured is what they measured: it is read as it is, and each record of it must have its row.
    METRICS.name: ["*"],
    **{table.name: [WALL_CLOCK] for table in TABLES},
    "photo_outcomes_by_minute": list(LATENCIES),  # which may only be later
    **{name: ["*"] for name in NOT_OF_PHOTOS},
}


def _stored_metrics(settings: Settings) -> list[int]:
    """Up to which offset store has taken each partition of ops.metrics: workers measure to their last moment, when store is gone."""
    stand = positions(settings, "store", METRICS)
    if any(position and position.pending for position in stand):
        raise Unsettled("store has metrics pending: let it come to rest before its workers are stopped")
    return [position.offset if position else 0 for position in stand]


# 1. By the feeder's list alone


def _compare_events(sent: Sequence[Sent], log: Log, found: Differences) -> None:
    """photos.events holds what was sent, where it was acknowledged, and nothing else."""
    left = {(each.partition, each.offset): each for each in sent}
    if len(left) < len(sent):
        raise ValueError("two records of the list have the same place")
    for partition in log.partitions(EVENTS):
        for record in log.read(EVENTS, partition):
            each = left.pop((partition, record.offset), None)
            if each is None:
                found.add(EVENTS.name, f"partition {partition}, offset {record.offset}: nobody sent this")
            elif each.value != record.value:
                found.add(EVENTS.name, f"partition {partition}, offset {record.offset}: something else was sent")
    for partition, offset in left:
        found.add(EVENTS.name, f"partition {partition}, offset {offset}: what was acknowledged there is missing")


Root = tuple[int, int, int]
Fact = tuple[str, ...]
"""Something that ClickHouse holds of a root."""

_FACTS = {
    "outcome": ("photo_outcomes", ("outcome", "reason")),
    "photo": ("photo_enrichments", ("owner_id", "photo_id", "event_id")),
    "dead letter": ("dead_letters", ("reason", "owner_id", "photo_id", "event_id")),
}


def _must(sent: Sent) -> list[Fact]:
    """In the order of _FACTS."""
    ids = (sent.owner_id, sent.photo_id, sent.event_id)
    match sent.fate:
        case Fate.ENRICHED:
            return [("outcome", "enriched", ""), ("photo", *ids)]
        case Fate.REJECTED:
            return [("outcome", "rejected", sent.reason), ("dead letter", sent.reason, *ids)]
        case Fate.DEAD_LETTER:
            return [("dead letter", sent.reason, "", "", "")]
        case Fate.REPEAT:
            return []


def _settlements(generation: int, sent: Sequence[Sent], client: Client, found: Differences) -> dict[str, int]:
    """How many are settled, lost and duplicated."""
    facts = _facts(client)
    settled = lost = duplicated = 0
    for each in sent:
        root = (generation, each.partition, each.offset)
        must, has = _must(each), facts.pop(root, [])
        if has == must:
            settled += 1
            continue
        missing, beyond = Counter(must) - Counter(has), Counter(has) - Counter(must)
        lost += bool(missing)
        duplicated += bool(beyond)
        for what, some in (("lost", missing), ("duplicated", beyond)):
            if some:
                found.example(what, f"{_rooted(root)}, {each.fate}: {_listed(some)}")
    for root, some in facts.items():
        duplicated += 1
        found.example("duplicated", f"{_rooted(root)}, which nobody sent: {_listed(Counter(some))}")
    return {"settled": settled, "lost": lost, "duplicated": duplicated}


def _facts(client: Client) -> dict[Root, list[Fact]]:
    facts = defaultdict(list)
    for kind, (table, columns) in _FACTS.items():
        # Not FINAL: a row that is there twice is told, until ClickHouse itself has made one of the two.
        listed = ", ".join(("root_generation", "root_partition", "root_offset", *columns))
        for row in client.query(f"SELECT {listed} FROM {table}").result_rows:
            facts[row[:3]].append((kind, *row[3:]))
    return facts


def _rooted(root: Root) -> str:
    return f"root {'-'.join(map(str, root))}"


def _listed(facts: Counter[Fact]) -> str:
    return "; ".join(f"{number} of {' '.join(fact)}" for fact, number in facts.items())


# 2. Every topic, and what comes of each


_RULED = {
    *(EVENTS, ADMITTED, ENRICHED, GROUPED, WAITING, DEAD_LETTER, METRICS),
    *(ADMIT_CHANGELOG, ENRICH_CHANGELOG, GROUP_CHANGELOG),
}


async def _compare_topics(agents: PureAgents, log: Log, tables: Tables, found: Differences) -> None:
    for topic in set(TOPICS) - _RULED:
        found.add(topic.name, "no rule says what must be on it: give it one in tests/chaos/account.py")
    admitted = [await agents.admit(partition, log.read(EVENTS, partition)) for partition in log.partitions(EVENTS)]
    for run in admitted:
        compare_changelog(ADMIT_CHANGELOG, run, log.read(ADMIT_CHANGELOG, run.partition), found)
    for batch in _compared(DEAD_LETTER, admitted, log, found):
        tables.expect(agents.store(batch))
    looked = [await agents.enrich(batch) for batch in _compared(ADMITTED, admitted, log, found)]
    for run in looked:
        compare_changelog(ENRICH_CHANGELOG, run, log.read(ENRICH_CHANGELOG, run.partition), found)
    for _ in _compared(WAITING, looked, log, found):
        pass  # with one model and one root nothing is ever away by itself
    for batch in _compared(ENRICHED, [*admitted, *looked], log, found):
        run = await agents.group(batch)
        compare_changelog(GROUP_CHANGELOG, run, log.read(GROUP_CHANGELOG, run.partition), found)
        # An owner's outcomes stay in the partition that they have: with all at once there would be much to hold.
        for grouped in _compared(GROUPED, [run], log, found, [run.partition]):
            tables.expect(agents.store(grouped))


def _compared(
    topic: Topic, runs: Sequence[Run], log: Log, found: Differences, partitions: Iterable[int] | None = None
) -> Iterator[Decoded]:
    """Each partition of a topic as it stands, held against what agents publish on it."""
    expected = ExpectedRecords(topic, len(log.partitions(topic)), runs)
    for partition in log.partitions(topic) if partitions is None else partitions:
        batch = Decoded.of(topic, partition, log.read(topic, partition))
        expected.compare(batch, found)
        yield batch
    expected.rest(found)
