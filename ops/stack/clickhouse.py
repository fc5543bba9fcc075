"""One embedded ClickHouse on the loopback address: its engine in a process of its own, behind ClickHouse's HTTP interface."""

from __future__ import annotations

import http.client
import sys
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from ops.stack.ports import free_port
from ops.stack.process import Process

if TYPE_CHECKING:
    from pathlib import Path

_START = timedelta(seconds=60)  # 1.5 s; the rest is for a slow disk and many parts
_STOP = timedelta(seconds=25)  # longer than the server waits for what is under way
_PREDECESSOR_SECONDS = 30  # a killed stack's server may still be ending
_ANSWER_SECONDS = 1.0  # to connect, and again to answer: healthy() says so within 2 s

# A real query, and one that only the server of our folder answers as we expect.
_WHOSE = "SELECT path FROM system.disks WHERE name = 'default' FORMAT TabSeparatedRaw"


class ClickHouse:
    """The server of the tables in `data`. Its port stays the same from start to start, unless somebody else took it."""

    name = "clickhouse"

    def __init__(self, data: Path, *, port: int = 8123) -> None:
        """`port` if it is free, else another."""
        self._data = data.resolve()
        self._tables = self._data / "tables"
        self._port = port
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """For clients: http://127.0.0.1:8123."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """On 127.0.0.1."""
        return self._port

    @property
    def address(self) -> str:
        """For people, the same."""
        return self.url

    @property
    def pid(self) -> int | None:
        """Of the server."""
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> int | None:
        """Of the last start; None while it runs."""
        return self._process.returncode if self._process else None

    def running(self) -> bool:
        """Whether the server lives."""
        return self._process is not None and self._process.running

    def healthy(self) -> bool:
        """Whether our server answers a query, and not whoever else is on its port; within 2 s."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", f"/?query={quote(_WHOSE)}")
            return connection.getresponse().read().decode(errors="replace").strip() == f"{self._tables}/"
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def start(self) -> None:
        """Serve; StackError if another server has the folder, or ours does not come up."""
        self._data.mkdir(parents=True, exist_ok=True)
        self._port = free_port(self._port)
        command: list[str | Path] = [sys.executable, "-m", "ops.stack.clickhouse_http", self._tables]
        self._process = Process(
            self.name,
            [*command, "--port", str(self._port), "--predecessor-seconds", str(_PREDECESSOR_SECONDS)],
            log=self._data / "clickhouse.log",
        )
        self._process.start()
        self._process.wait_ready(self.healthy, within=_START + timedelta(seconds=_PREDECESSOR_SECONDS))

    def stop(self) -> None:
        """Let it finish what is under way; what was acknowledged is on the disk either way."""
        if self._process is not None:
            self._process.stop(grace=_STOP)
