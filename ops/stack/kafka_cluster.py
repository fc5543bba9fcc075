"""Several brokers on the loopback address that form one cluster: for what one broker cannot show, such as the loss of one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ops.stack.kafka import Kafka, Seat, new_cluster_id
from ops.stack.ports import free_ports

if TYPE_CHECKING:
    from pathlib import Path

_PROPERTIES = {
    # Brokers of one machine starve each other for a moment now and then: with a second, as alone, they would be given up.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}


class KafkaCluster:
    """Brokers, each of them a controller too. What is written is on all of them, and acknowledged by all but one at least.

    Each broker is started, killed and started again by itself (`brokers`), on the same ports; it waits for a majority. Made anew
    in the same folder, a cluster has its records, and other ports.
    """

    def __init__(self, data: Path, *, size: int = 3, heap: str = "256m") -> None:
        """`size`: of brokers, 3 or more."""
        ports = free_ports(*[0] * (2 * size))
        numbers = range(1, size + 1)
        controllers = dict(zip(numbers, ports[size:], strict=True))
        cluster_id = new_cluster_id()
        replicas, in_sync = str(size), str(size - 1)
        properties = {
            **_PROPERTIES,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
            "min.insync.replicas": in_sync,  # of the positions' topic, and of every topic that does not say otherwise
        }
        self.brokers = [
            Kafka(
                data / f"broker-{number}",
                heap=heap,
                properties=properties,
                seat=Seat(number, port, controllers, cluster_id),
            )
            for number, port in zip(numbers, ports, strict=False)
        ]
        self._bootstrap = ",".join(f"127.0.0.1:{port}" for port in ports[:size])

    @property
    def bootstrap(self) -> str:
        """host:port of each broker, comma separated."""
        return self._bootstrap

    def start(self) -> None:
        """Start all at once, since each waits for a majority. StackError, with nothing left running, if one does not come up."""
        with ThreadPoolExecutor(len(self.brokers)) as threads:
            starts = [threads.submit(broker.start) for broker in self.brokers]
        errors = [error for start in starts if (error := start.exception())]
        if errors:
            self.stop()
            raise errors[0]

    def stop(self) -> None:
        """Shut all down at once."""
        with ThreadPoolExecutor(len(self.brokers)) as threads:
            list(threads.map(Kafka.stop, self.brokers))
