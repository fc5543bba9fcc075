"""The engine of streams over servers in memory: what makes a claim, a store and a task, for many workers in one process."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rocksdict import DbClosedError, Options, Rdict, WriteBatch

from tests.support.fake_kafka_clients import Consumer, Line, Producer
from tests.support.mutants import Mutant, loaded

MODULES = ("standing", "standalone", "claim", "changelog", "state", "tries", "pending", "task")


class Database:
    """A RocksDB of which a test sees every single write."""

    def __init__(self, folder: str, options: Options, written: Callable[[], None]) -> None:
        self._db = Rdict(folder, options)
        self._written = written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def write(self, batch: WriteBatch) -> None:
        self._db.write(batch)
        self._written()

    def put(self, key: bytes, value: bytes) -> None:
        self._db.put(key, value)
        self._written()


class Code:
    """Its modules, over the lines to a broker, each under its address; `written` is called after each write to a local store."""

    def __init__(self, lines: Mapping[str, Line], *mutants: Mutant) -> None:
        self.written: Callable[[], None] = lambda: None
        self._opened: list[tuple[Path, Database]] = []

        def client(kind: Any, config: dict[str, Any]) -> Any:
            return kind(lines[config["bootstrap.servers"]], config)

        instead = {"Producer": partial(client, Producer), "Consumer": partial(client, Consumer), "Rdict": self._open}
        modules = loaded(MODULES, mutants, instead)
        self.claim, self.state, self.pending, self.task = (
            modules[name] for name in ("claim", "state", "pending", "task")
        )

    def _open(self, folder: str, options: Options) -> Database:
        options.set_max_file_opening_threads(1)  # by default sixteen begin and end each time
        self._opened.append((Path(folder), Database(folder, options, lambda: self.written())))  # noqa: PLW0108 (as it is then)
        return self._opened[-1][1]

    def let_go(self, folder: Path) -> None:
        """What the operating system does when a process is killed: its files are closed, as they are."""
        for path, database in self._opened:
            if path.is_relative_to(folder):
                with suppress(DbClosedError):
                    database.close()
        self._opened = [(path, database) for path, database in self._opened if not path.is_relative_to(folder)]
