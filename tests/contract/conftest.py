"""A migrated database on the engine in process."""

import pytest

from schemas.topics import PARTITIONS
from sinks.clickhouse.migrate import migrate
from tests.support.engine import InProcess, engine


@pytest.fixture
def empty():
    """A client, and the name of a database that is not there."""
    with engine() as (client, database):
        yield client, database


@pytest.fixture(scope="session")
def _migrated():
    with engine() as (client, database):
        migrate(client, database=database, partitions=PARTITIONS)
        yield client, database


@pytest.fixture
def client(_migrated):
    """A client whose database has our tables, empty. For tests that leave the tables as they are."""
    client, database = _migrated
    client.database = database
    tables = client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name != 'migrations'"
    ).result_rows
    for (table,) in tables:
        client.command(f"TRUNCATE TABLE {table}")
    return client


@pytest.fixture
def connection(client):
    """The same, as the writer wants it."""
    return InProcess(client)
