"""What the state machines share: how they run, what a broken promise is, and that no run silently shrinks."""

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

STEPS = 50  # of one history
ENOUGH = 400  # histories: far more than it takes to break any promise once its rule is left out
LEAST = {"consumer": 4_000, "pending": 3_000, "tasks": 1_500, "state": 1_500}
"""Steps of each machine: 10,000 in all. (Those with RocksDB take longer.)"""
_RUN = settings(
    derandomize=True,  # the same histories everywhere: a red run is the change's fault
    database=None,
    deadline=None,  # another process may be at work on the machine
    stateful_step_count=STEPS,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],  # data generation is what drives the code under test
)


class Broken(AssertionError):  # noqa: N818 (what a promise is)
    """A promise is broken."""


def promised(what: str, holds: bool, *details: Any) -> None:
    if not holds:
        raise Broken(f"{what}: {', '.join(map(repr, details))}")


def same(what: str, has: list[Any], should: list[Any]) -> None:
    """Raises Broken where the two first differ."""
    for at, pair in enumerate(zip_longest(has, should)):
        promised(f"{what}, at {at}", pair[0] == pair[1], *pair)


def events(**weighted: tuple[Any, ...]) -> st.SearchStrategy[tuple[Any, ...]]:
    """What may happen: methods by name, each with its weight and the strategies of its arguments.

    One rule draws from all of them: Hypothesis leaves out most rules of a machine in most of its histories, and it takes a log, a
    worker and an accident at least before a promise can break.
    """
    return st.one_of(
        [st.tuples(st.just(name), *arguments) for name, (weight, *arguments) in weighted.items() for _ in range(weight)]
    )


def scratch() -> TemporaryDirectory[str]:
    """A folder, in memory where that is possible: RocksDB syncs as it closes."""
    memory = Path("/dev/shm")
    return TemporaryDirectory(dir=memory if memory.exists() else None)


class Machine(RuleBasedStateMachine):
    """Counts the steps that it takes, and looks after each whether the promise still holds."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).steps -= 1  # the first look comes before any step

    def go_through(self, event: tuple[Any, ...]) -> None:
        name, *arguments = event
        getattr(self, name)(*arguments)

    @invariant()
    def promise(self) -> None:
        type(self).steps += 1
        self.look()

    def look(self) -> None:
        """Raises Broken."""
        raise NotImplementedError


def holds(machine: type[Machine], *, least: int) -> None:
    """The promise holds in so many steps at least."""
    machine.steps = 0
    # Some histories are shorter: Hypothesis bounds what it draws for one.
    run_state_machine_as_test(machine, settings=settings(_RUN, max_examples=-(-least * 5 // (STEPS * 4))))
    assert machine.steps >= least, f"the machine took {machine.steps} steps"


def is_refuted(machine: Callable[[], Machine], *, within: int = ENOUGH) -> None:
    """One of so many histories breaks the promise: it is not enough that something else fails."""
    try:
        run_state_machine_as_test(machine, settings=settings(_RUN, max_examples=within, phases=[Phase.generate]))
    except Broken:
        return
    raise AssertionError(f"the rule can be left out: nothing broke in {within} histories")
