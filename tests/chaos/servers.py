"""The real servers of a round, each started again whenever it is gone."""

import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ops.stack.clickhouse import ClickHouse
from ops.stack.kafka import Kafka
from ops.stack.process import Server, StackError
from ops.stack.triton import Triton

MODELS = Path(__file__).parent / "models"
_LOOK_SECONDS = 0.05


class Servers:
    """Broker, ClickHouse and Triton in one folder, and a thread for each that starts it again."""

    def __init__(self, folder: Path) -> None:
        self.kafka = Kafka(folder / "kafka")
        self.clickhouse = ClickHouse(folder / "clickhouse", port=0)
        self.triton = Triton(folder / "triton", repository=MODELS)
        self.all: Mapping[str, Server] = {
            "broker": self.kafka,
            "clickhouse": self.clickhouse,
            "triton": self.triton,
        }
        self.failures: list[str] = []  # starts that did not work; each was tried again
        self._away_until = dict.fromkeys(self.all, 0.0)
        self._stopping = threading.Event()
        self._keepers: list[threading.Thread] = []

    def start(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda server: server.start(), self.all.values()))
        for name in self.all:
            keeper = threading.Thread(target=self._keep, args=(name,), name=f"keep-{name}", daemon=True)
            keeper.start()
            self._keepers.append(keeper)

    def stop(self) -> None:
        self._stopping.set()
        for keeper in self._keepers:
            keeper.join()
        for server in (self.triton, self.clickhouse, self.kafka):
            server.stop()

    def pid(self, name: str) -> int:
        """Of the process to kill; 0 while it is down anyway."""
        server = self.all[name]
        return server.pid or 0 if server.running() else 0

    def kill(self, name: str, *, away: float = 0.0) -> None:
        """SIGKILL; it comes back after `away` seconds at the earliest."""
        self._away_until[name] = time.monotonic() + away
        self._signal(name, signal.SIGKILL)

    def hold_up(self, name: str, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so long: connections stand, and nothing answers."""
        pid = self._signal(name, signal.SIGSTOP)
        self._stopping.wait(seconds)
        _signal(pid, signal.SIGCONT)

    def up(self) -> bool:
        return all(server.healthy() for server in self.all.values())

    def _signal(self, name: str, number: int) -> int:
        pid = self.pid(name)
        _signal(pid, number)
        return pid

    def _keep(self, name: str) -> None:
        server = self.all[name]
        while not self._stopping.wait(_LOOK_SECONDS):
            if server.running() or time.monotonic() < self._away_until[name]:
                continue
            try:
                server.start()
            except StackError as error:
                self.failures.append(f"{name} did not come back: {str(error).partition(' (see ')[0]}")


def _signal(pid: int, number: int) -> None:
    """To a process, unless it is gone: a worker may have killed it meanwhile."""
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
