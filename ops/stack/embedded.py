"""The whole backbone on one machine: broker, inference, analytics, a worker an agent, and the page."""

import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.request import urlopen

from ops.prepare import prepare_database
from ops.stack.clickhouse import ClickHouse
from ops.stack.command import Command
from ops.stack.kafka import Kafka
from ops.stack.ports import free_port
from ops.stack.process import Server, StackError
from ops.stack.status import only_stack
from ops.stack.supervise import Supervisor
from ops.stack.triton import Triton
from schemas.errors import SafelightError
from streams import provision
from streams.settings import STACK_SETTINGS, Settings

AGENTS = ("admit", "enrich", "resume", "group", "store")
_MARK = "this-is-safelight-data"


class Embedded:
    """Everything that `safelight up` runs, in one folder; commands given beside it find it by the folder's settings.env."""

    name = "stack"

    def __init__(
        self,
        data: Path,
        *,
        page_port: int,
        clickhouse_port: int,
        on_event: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_event` gets a line for people when something starts, exits or comes back, from any thread."""
        self.data = data.absolute()
        self._page_port = page_port
        self._on_event = on_event
        self.kafka = Kafka(self.data / "kafka")
        self.clickhouse = ClickHouse(self.data / "clickhouse", port=clickhouse_port)
        self.settings = Settings()
        self.triton = Triton(self.data / "triton", models=self.settings.models)
        self.supervisor = Supervisor(self.data, on_event=on_event)
        self.page_url = ""

    def start(self) -> None:
        """Return once every part serves. StackError, with nothing left running, if one does not."""
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / _MARK).touch()
        self.supervisor.start(self._groups())

    def stop(self) -> None:
        """End every process and free every port; workers first."""
        self.supervisor.stop()
        (self.data / STACK_SETTINGS).unlink(missing_ok=True)

    def _groups(self) -> Iterator[Sequence[Server]]:
        yield [self.kafka, self.clickhouse, self.triton]
        self.settings = self._settings()
        self._say_where()
        try:
            provision.ensure(self.settings)
            prepare_database(self.settings)
        except SafelightError as error:
            raise StackError(str(error)) from error
        for stale in (self.data / "run").glob("*.ready"):  # of workers that were killed with an earlier stack
            stale.unlink()
        yield [*(self._worker(agent) for agent in AGENTS), self._page()]

    def _settings(self) -> Settings:
        objects = self.data / "objects"
        objects.mkdir(exist_ok=True)
        # What the environment says of models, limits or the namespace holds here too; where things are, only we know.
        return Settings(
            brokers=self.kafka.bootstrap,
            triton=self.triton.grpc,
            clickhouse_url=self.clickhouse.url,
            data=self.data,
            hash_key=self._hash_key(),
            object_roots=(objects.as_uri(),),
            private_roots=(),
        )

    def _hash_key(self) -> str:
        """Made once a folder: what is remembered under it is worth nothing without it."""
        path = self.data / "hash.key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32))
        return path.read_text()

    @property
    def environment(self) -> dict[str, str]:
        """For the stack's own processes."""
        return where(self.settings)

    def _say_where(self) -> None:
        path = self.data / STACK_SETTINGS
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text("".join(f'{name}="{value}"\n' for name, value in self.environment.items()))

    def _worker(self, agent: str) -> Server:
        ready = self.data / "run" / f"{agent}.ready"
        return Command(
            agent,
            [sys.executable, "-m", "ops", "worker", agent],
            log=self.data / "logs" / f"{agent}.log",
            env=self.environment,
            ready=ready.exists,
        )

    def _page(self) -> Server:
        port = free_port(self._page_port)
        self.page_url = f"http://127.0.0.1:{port}"
        return Command(
            "page",
            [sys.executable, "-m", "ops.page", "--port", str(port)],
            log=self.data / "logs" / "page.log",
            env=self.environment,
            ready=lambda: _answers(self.page_url),
            address=self.page_url,
        )


def where(settings: Settings) -> dict[str, str]:
    """What the settings say of where things are, as variables for another process."""
    return {
        "SAFELIGHT_BROKERS": settings.brokers,
        "SAFELIGHT_TRITON": settings.triton,
        "SAFELIGHT_CLICKHOUSE_URL": settings.clickhouse_url,
        "SAFELIGHT_DATA": str(settings.data),
        "SAFELIGHT_HASH_KEY": settings.hash_key.get_secret_value(),
        "SAFELIGHT_OBJECT_ROOTS": ",".join(settings.object_roots),
        "SAFELIGHT_PRIVATE_ROOTS": ",".join(settings.private_roots),
    }


def forget(data: Path) -> None:
    """Remove what earlier runs left in the folder. StackError if a stack runs there, or the folder is not a stack's."""
    if not data.exists():
        return
    if any(data.iterdir()) and not (data / _MARK).exists():
        raise StackError(
            f"{data} was not made by safelight, and stays: remove it yourself, or name another SAFELIGHT_DATA"
        )
    with only_stack(data):
        shutil.rmtree(data)


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/", timeout=2) as reply:  # noqa: S310 (our own page on the loopback address)
            return bool(reply.status == 200)
    except OSError:
        return False
