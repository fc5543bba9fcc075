"""Every topic, declared once: what travels on it, by which key, how long it is kept.

Names are the contract's. `SAFELIGHT_NAMESPACE` puts a prefix before them where topics meet a broker (streams/settings.py).
"""

from dataclasses import dataclass
from datetime import timedelta

PARTITIONS = 8
"""Partitions of every topic that photos travel on; part of the contract, since a key's partition depends on it."""

MAX_EVENT_BYTES = 1 << 20
"""The broker refuses a larger record: an event is a description of a photo, never the photo."""


RETENTION = timedelta(days=7)
"""How long the topics that photos travel on keep their records."""

REMEMBER = timedelta(days=30)
"""How long admit remembers event ids, unless SAFELIGHT_REMEMBER says otherwise."""

KEEP_RESULTS = timedelta(days=7)
"""How long what was seen in a content serves further photos of it, unless SAFELIGHT_KEEP_RESULTS says otherwise."""

TOMBSTONES_KEPT = timedelta(days=1)
"""How long a changelog shows that a key was deleted: what was not read for longer may have missed it."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `retention` None: its records are never too old. `replicas`: on so many brokers.

    `format`: of a changelog's values, which rises when they change (streams/state.py); 0 for events, which name their schema.
    """

    name: str
    key: str
    records: tuple[str, ...]
    retention: timedelta | None
    partitions: int = PARTITIONS
    replicas: int = 1
    format: int = 0

    @property
    def is_changelog(self) -> bool:
        """Whether it is the durable form of a state, and kept by key."""
        return self.format > 0

    @property
    def config(self) -> dict[str, str]:
        """The broker's settings for it."""
        # The broker's clock stamps every record: a producer's must decide neither retention nor what admit remembers.
        config = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(MAX_EVENT_BYTES)}
        # What is acknowledged is on two brokers: it outlives the loss of one, and of three one may be away.
        config |= {"min.insync.replicas": "2" if self.replicas > 2 else "1"}
        policies = []
        if self.is_changelog:
            day = _milliseconds(timedelta(days=1))
            # What was deleted or overwritten is gone from the disk within two days at most.
            config |= {"max.compaction.lag.ms": day, "segment.ms": day}
            config |= {"delete.retention.ms": _milliseconds(TOMBSTONES_KEPT)}
            policies.append("compact")
        if self.retention is not None:
            config |= {"retention.ms": _milliseconds(self.retention)}
            policies.append("delete")
        return config | {"cleanup.policy": ",".join(policies)}


def _milliseconds(duration: timedelta) -> str:
    return str(duration // timedelta(milliseconds=1))


EVENTS = Topic("photos.events", "owner_id", ("PhotoUploaded",), RETENTION)
ADMITTED = Topic("photos.admitted", "content_sha256", ("PhotoAdmitted",), RETENTION)
ENRICHED = Topic("photos.enriched", "owner_id", ("PhotoEnriched", "PhotoRejected"), RETENTION)
GROUPED = Topic("photos.grouped", "owner_id", ("PhotoGrouped",), RETENTION)
DEAD_LETTER = Topic("photos.dead_letter", "none", ("DeadLetter",), RETENTION, partitions=2)
WAITING = Topic("photos.waiting", "content_sha256", ("PhotoWaiting",), RETENTION)
METRICS = Topic("ops.metrics", "worker", ("Metric",), timedelta(days=1), partitions=2)


def remembered_for(remember: timedelta) -> timedelta:
    """How long admit's changelog has to keep an event id so that it is known for `remember`.

    A repeat that comes in just in time may wait in photos.events for as long as that keeps it, and admit still has to know.
    """
    return remember + RETENTION


ADMIT_CHANGELOG = Topic(
    "photos.admit.changelog", "keyed hash of owner and event_id", (), remembered_for(REMEMBER), format=1
)
ENRICH_CHANGELOG = Topic("photos.enrich.changelog", "content_sha256", (), KEEP_RESULTS, format=1)
GROUP_CHANGELOG = Topic("photos.group.changelog", "keyed hash of owner and photo_id", (), None, format=1)

TOPICS = (
    *(EVENTS, ADMITTED, ENRICHED, GROUPED, WAITING, DEAD_LETTER, METRICS),
    *(ADMIT_CHANGELOG, ENRICH_CHANGELOG, GROUP_CHANGELOG),
)
