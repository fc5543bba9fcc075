"""aiokafka's consumer, in the thread that Faust has for it: takes records with their epoch (streams/consumer.py), and keeps its group.

**Names in use that Faust and aiokafka do not promise** (their versions are pinned; tests/unit/streams/test_consumer.py says of
each what breaks without it):

- AIOKafkaConsumerThread._create_worker_consumer, and of its result _isolation_level and _fetch_max_wait_ms
- AIOKafkaConsumerThread._fetch_records, _ensure_consumer, _consumer, close
- AIOKafkaConsumer._subscription.fetch_context, _coordinator (group_id, member_id, coordinator_id), _client.send
"""

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka.errors import NoOffsetForPartitionError
from aiokafka.protocol.group import LeaveGroupRequest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from agents.batch import Record

_FETCH_MAX_WAIT_MS = 100
"""Faust's 1500 lets one idle partition hold up all others of its broker for so long."""

LOGGER = logging.getLogger("faust.streams")
"""What Faust's base classes say goes where Faust's other words go."""


class Taken(NamedTuple):
    """Records of one partition, and the epoch in which they were taken."""

    epoch: int
    records: list[Record]


class BatchThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka's consumer lives."""

    logger = LOGGER

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 (else what was aborted is delivered)
        consumer._fetch_max_wait_ms = _FETCH_MAX_WAIT_MS  # noqa: SLF001
        self._epochs: dict[TP, int] = {}
        return consumer

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> dict[TP, Any]:
        """What Faust's takes, as Taken."""
        try:
            records = await super()._fetch_records(*args, **kwargs)
        except NoOffsetForPartitionError:
            return {}  # of a partition that was just assigned and is not sought yet: its first position is for the claim to say
        # No await from the taking of the records to here.
        return {TP(*tp): Taken(self._epochs.get(tp, 0), run) for tp, run in records.items()}

    async def seek_to(self, tp: TP, offset: int, epoch: int) -> None:
        """Go to an offset: what is taken from now on is of this epoch. Raises IllegalStateError if the partition is not ours."""
        self._ensure_consumer().seek(tp, offset)
        self._epochs[tp] = epoch  # no await in between

    async def seen(self) -> None:
        """Say to aiokafka that we are there, though we ask for nothing: it leaves the group for good when nobody asks for long."""
        with self._ensure_consumer()._subscription.fetch_context():  # noqa: SLF001
            pass

    def close(self) -> None:
        """Nothing: Faust calls it when a stop meets a rebalance, and would close the connections before the group is left."""

    async def leave(self) -> None:
        """Leave the group at once, past whatever aiokafka waits for: over its other connection."""
        coordinator, client = self._ensure_consumer()._coordinator, self._ensure_consumer()._client  # noqa: SLF001
        if coordinator.member_id and coordinator.coordinator_id is not None:
            await client.send(
                coordinator.coordinator_id, LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
            )

    async def ends(self, tps: Iterable[TP]) -> dict[TP, tuple[int, int]]:
        """The next offset to take and the log's end, of those partitions for which the broker has said it."""
        consumer = self._ensure_consumer()
        found = {}
        for tp in tps:
            if tp in consumer.assignment() and (end := consumer.highwater(tp)) is not None:
                found[tp] = (await consumer.position(tp), end)
        return found
