"""Connections to ClickHouse, made in one way everywhere."""

from typing import Any
from urllib.parse import urlsplit

from clickhouse_connect.driver import create_async_client, create_client
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from sinks.clickhouse.explain import explain


def connect(*, url: str, user: str, password: str, database: str | None = None) -> Client:
    """A client for commands; times come as aware datetimes in UTC. Raises Unavailable, or StrangeWorld without the database.

    `database` None is the user's default one: for whoever is about to make ours.
    """
    try:
        return create_client(**_arguments(url, user, password, database))
    except ClickHouseError as error:
        raise explain(error, f"database {database}") from error


async def connect_async(*, url: str, user: str, password: str, database: str) -> AsyncClient:
    """As connect, for an event loop."""
    try:
        return await create_async_client(**_arguments(url, user, password, database))
    except ClickHouseError as error:
        raise explain(error, f"database {database}") from error


def _arguments(url: str, user: str, password: str, database: str | None) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "interface": parts.scheme,
        "host": parts.hostname,
        "port": parts.port,
        "proxy_path": parts.path,
        "username": user,
        "password": password,
        "database": database,
        "client_name": "safelight",
        "tz_mode": "aware",
        # A session would let only one query at a time pass.
        "autogenerate_session_id": False,
    }
