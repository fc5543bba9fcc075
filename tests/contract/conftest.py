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


@pytest.fixture
def client(empty):
    """A client whose database has our tables."""
    client, database = empty
    migrate(client, database=database, partitions=PARTITIONS)
    return client


@pytest.fixture
def connection(client):
    """The same, as the writer wants it."""
    return InProcess(client)
