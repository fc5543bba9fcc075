"""A worker under test: the project's own, with an armed hook at every boundary and, where one is asked for, a seeded bug."""

import asyncio
import faulthandler
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from agents.measure import Measure
from schemas.metrics import FETCH, INFERENCE, Declared
from streams.settings import Settings
from streams.topology import FLOWS, Flow
from streams.worker import run
from tests.chaos.arms import FETCHED, INFERRED, Arm
from tests.chaos.bugs import named

TELL = signal.SIGUSR1
"""On which a worker writes into its log where all its threads and coroutines are: for one that should work, and does not."""


def live(agent: str, settings: dict[str, object], arm: Path, bug: str) -> int:
    """Run one agent until it ends; its exit code."""
    signal.signal(TELL, _tell)
    faulthandler.register(TELL, all_threads=True, chain=True)
    if bug:
        planted = named(bug)
        planted.weather()
        planted.seed()
    armed = Arm(arm)
    return run(agent, Settings(**settings), flows={agent: watched(FLOWS[agent], armed)}, reached=armed.reached)


def _tell(*_: object) -> None:
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)


def watched(flow: Flow, arm: Arm) -> Flow:
    """The flow, its measurements heard: that an object was read, and that a model has answered, are boundaries too."""

    @asynccontextmanager
    async def opened(settings: Settings, measure: Measure):
        async with flow.open(settings, Heard(measure, arm)) as work:
            yield work

    return replace(flow, open=opened)


class Heard:
    """A Measure that passes everything on."""

    _BOUNDARIES = {FETCH: FETCHED, INFERENCE: INFERRED}  # noqa: RUF012 (read only)

    def __init__(self, measure: Measure, arm: Arm) -> None:
        self._measure = measure
        self._arm = arm

    def count(self, metric: Declared, amount: float = 1, **labels: str) -> None:
        self._measure.count(metric, amount, **labels)

    def observe(self, metric: Declared, seconds: float, **labels: str) -> None:
        self._measure.observe(metric, seconds, **labels)
        if metric in self._BOUNDARIES:
            self._arm.reached(self._BOUNDARIES[metric])
