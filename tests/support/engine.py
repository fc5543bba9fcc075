"""ClickHouse's engine inside the test's process: a database for each test, gone with the process."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from uuid import uuid4

import clickhouse_connect
from clickhouse_connect.driver.client import Client


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    # One path a process is all that the engine allows.
    return tempfile.TemporaryDirectory(prefix="safelight-engine-")


def open_engine() -> Client:
    """A client of the engine; every client sees the same databases."""
    return clickhouse_connect.get_client(interface="chdb", path=_folder().name, tz_mode="aware")


@contextmanager
def engine() -> Iterator[tuple[Client, str]]:
    """A client, and the name of a database that is not there yet."""
    client = open_engine()
    database = f"test_{uuid4().hex[:12]}"
    try:
        yield client, database
    finally:
        client.database = "default"
        client.command(f"DROP DATABASE IF EXISTS {database} SYNC")
        client.close()


class InProcess:
    """A client as the writer wants its connection: the calls of AsyncClient that it makes."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def server_settings(self):
        return self._client.server_settings

    async def query(self, query, parameters):
        return self._client.query(query, parameters)

    async def raw_insert(self, table, column_names, insert_block, settings, fmt):
        return self._client.raw_insert(table, column_names, insert_block, settings, fmt)

    async def close(self):
        """The client is the test's."""
