"""A command that changes something leaves a row in ClickHouse's table audit, whatever becomes of it."""

import getpass
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version

from clickhouse_connect.driver.client import Client

from schemas.errors import SafelightError
from sinks.clickhouse import audit
from sinks.clickhouse.audit import Ending, Run


@contextmanager
def audited(
    client: Client, command: str, arguments: Mapping[str, str], counts: Callable[[], Mapping[str, int]]
) -> Iterator[Run]:
    """For the body, which changes something. `counts`: what came of it, asked at the end.

    Nothing is changed that cannot be written down first: raises Unavailable, or StrangeWorld without the table.
    """
    run = Run(
        command=command, arguments=arguments, actor=_actor(), version=version("safelight"), started_at=datetime.now(UTC)
    )
    audit.begin(client, run)

    def end(ending: Ending) -> None:
        audit.end(client, run, datetime.now(UTC), ending, counts())

    try:
        yield run
    except BaseException as error:
        with suppress(SafelightError):  # the error of the body says more
            end(Ending.FAILED if isinstance(error, Exception) else Ending.INTERRUPTED)
        raise
    end(Ending.DONE)


def _actor() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # in a container, say, whose user has no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
