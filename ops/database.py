"""ClickHouse as the settings have it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from clickhouse_connect.driver.client import Client

from sinks.clickhouse.client import connect
from streams.settings import Settings


@contextmanager
def database(settings: Settings) -> Iterator[Client]:
    """A client of our database for the block. Raises Unavailable, or StrangeWorld when there is no database."""
    password = settings.clickhouse_password.get_secret_value()
    client = connect(
        url=settings.clickhouse_url, user=settings.clickhouse_user, password=password, database=settings.database
    )
    with closing(client):
        yield client
