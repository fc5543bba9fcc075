"""Every topic, declared once: what travels on it, by which key, how long it is kept.

Names are the contract's. `SAFELIGHT_NAMESPACE` puts a prefix before them where topics meet a broker (streams/settings.py).
"""

from dataclasses import dataclass
from datetime import timedelta

PARTITIONS = 8
"""Partitions of every topic that photos travel on; part of the contract, since a key's partition depends on it."""

MAX_EVENT_BYTES = 1 << 20
"""The broker refuses a larger record: an event is a description of a photo, never the photo."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `retention` None: kept by key (a changelog), not by age. `replicas`: on so many brokers."""

    name: str
    key: str
    records: tuple[str, ...]
    retention: timedelta | None
    partitions: int = PARTITIONS
    replicas: int = 1

    @property
    def config(self) -> dict[str, str]:
        """The broker's settings for it."""
        # The broker's clock stamps every record: a producer's must decide neither retention nor what admit remembers.
        config = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(MAX_EVENT_BYTES)}
        # What is acknowledged is on two brokers: it outlives the loss of one, and of three one may be away.
        config |= {"min.insync.replicas": "2" if self.replicas > 2 else "1"}
        if self.retention is None:
            day = str(int(timedelta(days=1) / timedelta(milliseconds=1)))
            # What was deleted or overwritten is gone from the disk within two days at most.
            return config | {"cleanup.policy": "compact", "max.compaction.lag.ms": day, "segment.ms": day}
        milliseconds = str(int(self.retention / timedelta(milliseconds=1)))
        return config | {"cleanup.policy": "delete", "retention.ms": milliseconds}


_WEEK = timedelta(days=7)

EVENTS = Topic("photos.events", "owner_id", ("PhotoUploaded",), _WEEK)
ADMITTED = Topic("photos.admitted", "content_sha256", ("PhotoAdmitted",), _WEEK)
ENRICHED = Topic("photos.enriched", "owner_id", ("PhotoEnriched", "PhotoRejected"), _WEEK)
GROUPED = Topic("photos.grouped", "owner_id", ("PhotoGrouped",), _WEEK)
DEAD_LETTER = Topic("photos.dead_letter", "none", ("DeadLetter",), _WEEK, partitions=2)
METRICS = Topic("ops.metrics", "worker", ("Metric",), timedelta(days=1), partitions=2)

ADMIT_CHANGELOG = Topic("photos.admit.changelog", "keyed hash of owner and event_id", (), None)
GROUP_CHANGELOG = Topic("photos.group.changelog", "keyed hash of owner and photo_id", (), None)

TOPICS = (EVENTS, ADMITTED, ENRICHED, GROUPED, DEAD_LETTER, METRICS, ADMIT_CHANGELOG, GROUP_CHANGELOG)
