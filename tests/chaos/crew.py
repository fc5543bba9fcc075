"""The workers of one agent: how many there have to be, what is done to them, and what they do by themselves."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from streams.step import Step
from tests.chaos.arms import FETCHED, Action, Arm, Charge
from tests.chaos.nursery import Nursery, Worker
from tests.chaos.plan import Deed
from tests.chaos.servers import Servers
from tests.chaos.worker import TELL

_REACHED_WITHIN_SECONDS = 12.0  # a claim after a kill has to wait for the session to end
_TRIES = 6
_MID_FLIGHT = {Step.INSERTING, FETCHED, Step.READ}
_OF_A_CLAIM = {Step.REBALANCING, Step.CLAIMING, Step.RESTORING}
_WAITED_FOR_SECONDS = 30.0  # at a boundary, by a worker in whose stead a server is killed; that takes milliseconds
_BATCHES = {"admit": (50, 500), "enrich": (16, 64), "group": (50, 500), "store": (60, 200, 1000)}

Other = tuple[str, str]
"""What was done besides kills, and at which boundary; of servers the latter is empty."""


class Crew:
    """Two or more workers of one agent; a worker that ends is followed by another, with another size of batch."""

    def __init__(
        self,
        agent: str,
        nursery: Nursery,
        servers: Servers,
        settings: dict[str, Any],
        *,
        rng: random.Random,
        workers: int = 2,
        bug: str = "",
    ) -> None:
        self.agent = agent
        self.kills: Counter[str] = Counter()
        self.others: Counter[Other] = Counter()
        self.unreached: Counter[str] = Counter()
        self.ended: list[str] = []  # the last words of those that nobody had told to end
        self.late: list[str] = []  # of those that were told, and took longer than half a session
        self._nursery = nursery
        self._servers = servers
        self._settings = settings
        self._rng = rng
        self._wanted = workers
        self._bug = bug
        self._numbers = count(1)
        self._workers: list[Worker] = []
        self._told: dict[str, float] = {}  # when a worker was told to end, or killed
        self._tending = threading.Lock()

    @property
    def session(self) -> float:
        return float(self._settings["session"])

    def tend(self) -> None:
        """As many workers as there have to be."""
        with self._tending:
            for worker in [each for each in self._workers if not each.alive]:
                self._workers.remove(worker)
                if worker.name not in self._told:
                    self.ended.append(f"{worker.name} (exit {worker.exit}): {_last_line(worker)}")
            while len(self._workers) < self._wanted:
                self._start()

    def alive(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.alive]

    def tell(self) -> None:
        """All write into their logs where they are."""
        for worker in self.alive():
            worker.signal(TELL)
        time.sleep(1)

    def stop(self) -> None:
        """All end in order."""
        with self._tending:
            for worker in self.alive():
                self._tell(worker)
            for worker in self._workers:
                self._until_gone(worker)

    def inflict(self, deed: Deed) -> bool:
        """Whether it was done: the boundary may not be reached in time."""
        for _ in range(_TRIES):
            self.tend()
            victim = self._rng.choice(self.alive() or [self._start()])
            if self._at_boundary(victim, deed):
                return True
            self.tell()  # whoever looks into the logs shall see what they do instead
        self.unreached[deed.boundary] += 1
        return False

    def _at_boundary(self, victim: Worker, deed: Deed) -> bool:
        if deed.instead and not self._servers.serves(deed.instead):
            return False
        with self._charged(victim, deed) as arm:
            self._provoke(victim, deed.boundary)
            end = time.monotonic() + _REACHED_WITHIN_SECONDS
            while not arm.fired and victim.alive and time.monotonic() < end:
                time.sleep(0.01)
            return arm.fired and self._follow_up(victim, deed, arm)

    @contextmanager
    def _charged(self, victim: Worker, deed: Deed) -> Iterator[Arm]:
        arm = Arm(victim.arm_path)
        rng = self._rng
        once = deed.boundary in _OF_A_CLAIM or deed.boundary == Step.STOPPING
        arm.charge(
            Charge(
                deed.boundary,
                Action.WAIT if deed.instead else deed.action,
                passes=1 if once else rng.randint(1, 3),
                after=0.0 if deed.instead else self._after(deed),
                seconds=self._seconds(deed),
            )
        )
        try:
            yield arm
        finally:
            arm.disarm()

    def _after(self, deed: Deed) -> float:
        """How long behind the boundary: a kill may come in the middle of a request."""
        return self._rng.uniform(0.0, 0.02) if deed.boundary in _MID_FLIGHT and deed.action is Action.KILL else 0.0

    def _seconds(self, deed: Deed) -> float:
        if deed.instead:
            return _WAITED_FOR_SECONDS
        return self.session * (self._rng.uniform(0.6, 1.2) if deed.long else 0.1)

    def _provoke(self, victim: Worker, boundary: str) -> None:
        """What brings the worker to a boundary that it does not come to by working."""
        if boundary == Step.STOPPING:
            self._tell(victim)
        elif boundary in _OF_A_CLAIM:
            for other in self.alive():
                if other is not victim:
                    self._tell(other)
                    self._until_gone(other)
            self.tend()

    def _follow_up(self, victim: Worker, deed: Deed, arm: Arm) -> bool:
        """What the harness has its part in, the worker being at the boundary. Whether it has come to what was meant."""
        what = ""
        match deed.action:
            case Action.KILL if deed.instead:
                return self._kill_instead(deed, arm)
            case Action.KILL:
                self._told.setdefault(victim.name, time.monotonic())
                if not victim.gone.wait(self.session) or victim.exit != -signal.SIGKILL:
                    return False
                self.kills[deed.boundary] += 1
                return True
            case Action.STOP:
                time.sleep(self.session + 1.5 if deed.long else 0.3)
                victim.signal(signal.SIGCONT)
                what = "stopped past the session, then woken" if deed.long else "stopped shortly"
            case Action.LEAVE:
                self._told.setdefault(victim.name, time.monotonic())
                self._until_gone(victim)
                what = "told to end"
            case Action.HANG:
                if deed.long:  # and a rebalance comes meanwhile, which does not wait for so long
                    for other in self.alive():
                        if other is not victim:
                            self._tell(other)
                what = "held up" + (", while the group rebalanced" if deed.long else "")
        self.others[what, deed.boundary] += 1
        return True

    def _kill_instead(self, deed: Deed, arm: Arm) -> bool:
        """The server that the worker needs next, as it goes on or right behind."""
        if after := self._after(deed):
            arm.release()
            time.sleep(after)
        died = self._servers.kill(deed.instead)
        arm.release()
        if died:
            self.kills[f"{deed.boundary}: {deed.instead}"] += 1
        return died

    def _start(self) -> Worker:
        name = f"{self.agent}-{next(self._numbers)}"
        size = self._rng.choice(_BATCHES[self.agent])
        changes = {"enrich_batch_records" if self.agent == "enrich" else "batch_records": size}
        worker = self._nursery.start(name, self.agent, self._settings | changes, bug=self._bug)
        self._workers.append(worker)
        return worker

    def _tell(self, worker: Worker) -> None:
        self._told.setdefault(worker.name, time.monotonic())
        worker.signal(signal.SIGTERM)

    def _until_gone(self, worker: Worker) -> None:
        """A worker that was told to end does so by itself; killed, after a long while, so that the round goes on."""
        if not worker.gone.wait(10 * self.session):
            worker.signal(signal.SIGKILL)
            worker.gone.wait()
        told = self._told.get(worker.name)  # not told: it has ended by itself
        lasted = time.monotonic() - told if told else 0.0
        if lasted > self.session / 2 + 0.5:
            self.late.append(f"{worker.name} took {lasted:.1f} s to end")


def _last_line(worker: Worker) -> str:
    lines = worker.log.read_text(errors="replace").strip().splitlines()
    return lines[-1][-300:] if lines else ""
