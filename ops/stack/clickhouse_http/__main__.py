"""Run the server: `python -m ops.stack.clickhouse_http DATA [--port 8123]`. SIGTERM ends it when its work is done."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from aiohttp import web

from ops.stack.clickhouse_http.engine import Engine
from ops.stack.clickhouse_http.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Iterator

_GRACE_SECONDS = 20.0
_POLL_SECONDS = 0.1


def main() -> int:
    """Exit code 0 after SIGTERM or SIGINT, 1 with one line when the folder or the port is another's."""
    parser = argparse.ArgumentParser(prog="python -m ops.stack.clickhouse_http", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the tables, made if missing")
    parser.add_argument("--port", type=int, default=8123, help="on 127.0.0.1")
    parser.add_argument("--threads", type=int, default=8, help="statements at once; more wait")
    parser.add_argument("--longest-body-mib", type=int, default=512, help="of a request, decompressed")
    parser.add_argument(
        "--predecessor-seconds", type=float, default=0.0, help="to wait for another to leave the folder"
    )
    parser.add_argument("--log-level", default="WARNING")
    given = parser.parse_args()
    logging.basicConfig(level=given.log_level.upper(), format="%(levelname)s %(name)s %(message)s")
    try:
        with _alone(given.data, given.predecessor_seconds) as data:
            engine = Engine(data)
            try:
                asyncio.run(_serve(engine, given))
            finally:
                engine.close()
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


@contextmanager
def _alone(folder: Path, patience_seconds: float) -> Iterator[Path]:
    """The folder, ours alone: an engine keeps its tables' state in memory, and a second one would not see it change."""
    data = folder.resolve()
    data.mkdir(parents=True, exist_ok=True)
    with data.with_name(f"{data.name}.lock").open("a") as lock:
        end = time.monotonic() + patience_seconds
        while not _taken(lock):
            if time.monotonic() > end:
                raise OSError(f"{data} is in use by another ClickHouse: stop it, or name another folder")
            time.sleep(_POLL_SECONDS)
        yield data


def _taken(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _serve(engine: Engine, given: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = HttpServer(engine, threads=given.threads, longest_body_bytes=given.longest_body_mib << 20)
    runner = server.runner(grace_seconds=_GRACE_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", given.port).start()
        sys.stdout.write(f"ClickHouse {engine.version} on http://127.0.0.1:{given.port}\n")
        sys.stdout.flush()
        await ended.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
