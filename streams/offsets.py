"""Positions as an operator sees them, and how one that a worker refuses is accepted. Blocking."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from schemas.errors import StrangeWorld
from schemas.topics import Topic
from streams import provision
from streams.changelog import changelog_of, remembers
from streams.claim import Changelog, Claim, Group, Source, expected
from streams.lag import lag
from streams.patience import answer, or_unavailable
from streams.position import Position
from streams.settings import Settings
from streams.standalone import committed, log_of, partitions_of, reading
from streams.standing import Fault, Standing, expired, judge, overdue
from streams.state import Store, restore
from streams.topology import Flow

Entries = Callable[[Topic, int], str]
"""Which table has rows of a partition, "" if none has; asked where nothing is committed."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where an agent stands in one partition, and how many records it has not committed yet."""

    agent: str
    source: Source
    changelog: Changelog | None
    standing: Standing
    records: int


def look(settings: Settings, flows: Iterable[Flow], entries: Entries) -> list[Found]:
    """Of every partition that the agents read. Raises Unavailable without a broker, StrangeWorld without the topics."""
    flows = list(flows)
    behind = {(each.agent, each.topic, each.partition): each.records for each in lag(settings, flows)}
    with or_unavailable(settings.brokers):
        found = answer(lambda: [found for flow in flows for found in _look(settings, flow, entries)])
    return [replace(each, records=behind[each.agent, each.source.topic, each.source.partition]) for each in found]


def _look(settings: Settings, flow: Flow, entries: Entries) -> Iterator[Found]:
    ids = provision.topic_ids(settings, flow.topics)
    topics = {settings.topic(topic): topic for topic in flow.sources}
    partitions = partitions_of(settings, flow.sources)
    with reading(settings.brokers) as reader:
        logs = {(at.topic, at.partition): log_of(reader, at.topic, at.partition) for at in partitions}
    for at in committed(settings, flow.agent, partitions):
        source = Source(at.topic, ids[at.topic], at.partition)
        changelog = changelog_of(flow.changelog, settings, ids, at.partition)
        standing = judge(at.offset, at.metadata or "", expected(source, changelog), logs[at.topic, at.partition])
        found = Found(flow.agent, source, changelog, standing, 0)
        if standing.fault is None:
            doubt = _doubt(found, settings, partial(entries, topics[at.topic], at.partition))
            found = replace(found, standing=replace(standing, fault=doubt))
        yield found


def _doubt(found: Found, settings: Settings, entries: Callable[[], str]) -> Fault | None:
    """What a worker sees only when it takes the partition up."""
    position, changelog = found.standing.position, found.changelog
    if position is None:
        where = changelog.topic if changelog and remembers(changelog, settings.brokers) else entries()
        return expired(where) if where else None
    pending = position.pending
    if pending and datetime.now(UTC) - pending.since > settings.pending_age:
        return overdue(position.offset, pending, settings.pending_age)
    return None


def accept(settings: Settings, found: Found, to: Position, *, forget: bool = False) -> None:
    """Commit a position with a note of ours, as the partition's owner; with `forget`, and its state emptied, in one transaction.

    Whoever had the partition is fenced. Raises StrangeWorld, with nothing changed, when the position has moved since `found`.
    """
    with closing(Group(settings.brokers, settings.group(found.agent))) as group:
        claim = Claim(settings.brokers, group, found.source, found.changelog, at=to)
        now = group.standing(found.source, expected(found.source, found.changelog))
        if (now.offset, now.position) != (found.standing.offset, found.standing.position):
            raise StrangeWorld(
                f"the position in {found.source} has moved meanwhile: look again with `safelight offsets`"
            )
        claim.begin()
        if forget and found.changelog:
            claim.publish_changes(found.changelog.topic, dict.fromkeys(_keys(found.changelog, settings.brokers)))
        claim.commit(claim.position)


def _keys(changelog: Changelog, brokers: str) -> list[bytes]:
    """Of everything that is remembered."""
    with tempfile.TemporaryDirectory() as folder, closing(Store(Path(folder) / "state", changelog)) as store:
        restore(store, brokers)
        return [key for key, _ in store.items()]
