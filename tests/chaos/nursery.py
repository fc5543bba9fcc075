"""Where workers are born: a process that has imported everything and forks, so that a worker is there in milliseconds, not seconds.

It speaks JSON lines. In: {"name", "agent", "settings", "arm", "log", "bug"} starts a worker. Out: {"name", "pid"} when it
lives, {"name", "exit"} when it is gone, its exit code as subprocess gives it. When its standard input ends, so do all.
"""

import ctypes
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually

_POLL_SECONDS = 0.02
_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


class Worker:
    """A worker process, from the harness's side."""

    def __init__(self, name: str, agent: str, arm: Path, log: Path) -> None:
        self.name = name
        self.agent = agent
        self.arm_path = arm
        self.log = log
        self.pid = 0
        self.exit: int | None = None
        self.gone = threading.Event()

    @property
    def alive(self) -> bool:
        return not self.gone.is_set()

    def signal(self, number: int) -> None:
        if self.alive and self.pid:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


class Nursery:
    """The process, and the workers that it has started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._workers: dict[str, Worker] = {}
        with (folder / "nursery.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, name: str, agent: str, settings: dict[str, Any], *, bug: str = "") -> Worker:
        """A worker that lives, and is not ready yet. `bug`: see tests/chaos/bugs.py, `named`."""
        worker = Worker(name, agent, self._folder / f"{name}.arm", self._folder / f"{name}.log")
        self._workers[name] = worker
        order = {"name": name, "agent": agent, "settings": settings, "bug": bug}
        order |= {"arm": str(worker.arm_path), "log": str(worker.log)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

        def born() -> None:
            assert worker.pid or not worker.alive, (self._folder / "nursery.log").read_text()

        eventually(born, within=60)
        return worker

    def close(self) -> None:
        """Kill whoever still lives."""
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def _listen(self) -> None:
        for line in self._process.stdout:
            news = json.loads(line)
            worker = self._workers[news["name"]]
            if "pid" in news:
                worker.pid = news["pid"]
            else:
                worker.exit = news["exit"]
                worker.gone.set()


def main() -> None:
    # All that workers need, imported once; what a flow imports when it opens is here by then.
    for module in (
        "agents.admit",
        "agents.enrich",
        "agents.look",
        "agents.group",
        "agents.store",
        "sinks.clickhouse.writer",
    ):
        importlib.import_module(module)
    live = importlib.import_module("tests.chaos.worker").live
    children: dict[int, str] = {}
    inbox = b""
    while True:
        readable, _, _ = select.select([0], [], [], _POLL_SECONDS)
        if readable:
            read = os.read(0, 1 << 16)
            if not read:
                break
            *orders, inbox = (inbox + read).split(b"\n")
            for order in map(json.loads, orders):
                pid = os.fork()
                if pid == 0:
                    _child(live, order)
                children[pid] = order["name"]
                _tell(name=order["name"], pid=pid)
        for pid, status in _ended():
            _tell(name=children.pop(pid), exit=os.waitstatus_to_exitcode(status))
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _child(live: Any, order: dict[str, Any]) -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(0)
    code = 1
    try:
        code = live(order["agent"], order["settings"], Path(order["arm"]), order["bug"])
    except BaseException:  # noqa: BLE001 (whatever it is, it belongs into the worker's log)
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)  # nothing of the parent's is to be cleaned up here


def _ended() -> Iterator[tuple[int, int]]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def _tell(**news: object) -> None:
    os.write(1, json.dumps(news).encode() + b"\n")


if __name__ == "__main__":
    main()
