"""The streams package's modules, loaded once more for one test: over servers in memory, and, if asked, with a line changed.

A mutant leaves one rule out. A test that passes with it tests nothing.
"""

import importlib.util
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from rocksdict import DbClosedError, Rdict

from tests.support.fake_kafka_clients import Consumer, Line, Producer


@dataclass(frozen=True)
class Mutant:
    """A module of streams in which `before`, which it has once, is `after`."""

    module: str
    before: str
    after: str


@cache
def _compiled(name: str, mutants: tuple[Mutant, ...]) -> tuple[ModuleSpec, CodeType]:
    spec = importlib.util.find_spec(f"streams.{name}")
    assert spec
    assert spec.origin
    source = Path(spec.origin).read_text()
    for mutant in mutants:
        if mutant.module == name:
            assert source.count(mutant.before) == 1, f"streams/{name}.py does not have once: {mutant.before}"
            source = source.replace(mutant.before, mutant.after)
    return spec, compile(source, spec.origin, "exec")


def load(name: str, *mutants: Mutant) -> ModuleType:
    """The module's own source, as a module of its own."""
    spec, code = _compiled(name, mutants)
    module = importlib.util.module_from_spec(spec)
    exec(code, vars(module))
    return module


class Code:
    """What runs on one partition, over the lines to a broker, each under its address."""

    def __init__(self, lines: Mapping[str, Line], *mutants: Mutant) -> None:
        self.claim = load("claim", *mutants)
        self.state = load("state", *mutants)
        self.task = load("task", *mutants)
        self.pending = load("pending", *mutants)
        self.opened: list[tuple[Path, Rdict]] = []

        def client(kind: Any, config: dict[str, Any]) -> Any:
            return kind(lines[config["bootstrap.servers"]], config)

        for module in (self.claim, self.state, self.pending):
            vars(module).update(Producer=partial(client, Producer), Consumer=partial(client, Consumer))
        vars(self.state).update(Rdict=self._open)

    def _open(self, folder: str, options: Any) -> Rdict:
        self.opened.append((Path(folder), Rdict(folder, options)))
        return self.opened[-1][1]

    def let_go(self, folder: Path) -> None:
        """What the operating system does when a process is killed: its files are closed, as they are."""
        for path, database in self.opened:
            if path.is_relative_to(folder):
                with suppress(DbClosedError):
                    database.close()
        self.opened = [(path, database) for path, database in self.opened if not path.is_relative_to(folder)]
