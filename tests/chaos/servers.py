"""The real servers of a round, each started again whenever it is gone."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ops.stack.clickhouse import ClickHouse
from ops.stack.kafka import Kafka
from ops.stack.process import Server, StackError
from ops.stack.triton import Triton

MODELS = Path(__file__).parent / "models"
_LOOK_SECONDS = 0.05
_BACK_SECONDS = 60.0  # within which a server that was killed is back, on a busy machine
_DEAD_SECONDS = 10.0


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

    def kill(self, name: str, *, away: float = 0.0) -> bool:
        """SIGKILL, as soon as it lives; it comes back after `away` seconds at the earliest. Whether it has died of it."""
        server = self.all[name]
        _within(_BACK_SECONDS, server.running)
        self._away_until[name] = time.monotonic() + away
        pid = self._signal(name, signal.SIGKILL)
        return pid > 0 and _within(_DEAD_SECONDS, lambda: server.pid != pid or not server.running())

    def hold_up(self, name: str, seconds: float) -> bool:
        """SIGSTOP, as soon as it lives, and SIGCONT after so long: connections stand, and nothing answers. Whether it came to that."""
        _within(_BACK_SECONDS, self.all[name].running)
        pid = self._signal(name, signal.SIGSTOP)
        self._stopping.wait(seconds)
        if self.all[name].pid != pid:  # a worker at a boundary had it killed, and its id may be another's by now
            return False
        self._signal(name, signal.SIGCONT)
        return pid > 0

    def serves(self, name: str) -> bool:
        """Whether it does, or does so soon."""
        return _within(_BACK_SECONDS, self.all[name].healthy)

    def up(self) -> bool:
        return all(server.healthy() for server in self.all.values())

    def _signal(self, name: str, number: int) -> int:
        """To its process as it is now; that one's id, 0 for none. An id kept from before might be another's by now."""
        server = self.all[name]
        if not server.running() or (pid := server.pid) is None:
            return 0
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return 0
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


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
