"""What the writer says with every INSERT."""

from types import SimpleNamespace

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from schemas.errors import Unavailable
from schemas.tables import METRICS, TABLES
from sinks.clickhouse.writer import ClickHouseWriter

pytestmark = pytest.mark.unit


class Connection:
    """Has our tables; remembers what is sent."""

    def __init__(self, *settings, error=None):
        self.server_settings = dict.fromkeys(settings)
        self.error = error
        self.sent = []
        self.closed = False

    async def query(self, query, parameters):
        if self.error:
            raise self.error
        columns = [(table.name, column, "String") for table in TABLES for column in table.columns]
        engines = [(table.name, "MergeTree SETTINGS non_replicated_deduplication_window = 5") for table in TABLES]
        return SimpleNamespace(result_rows=columns if "columns" in query else engines)

    async def raw_insert(self, table, column_names, insert_block, settings, fmt):
        self.sent.append((table, column_names, insert_block, settings, fmt))

    async def close(self):
        self.closed = True


async def sent_by(connection):
    writer = await ClickHouseWriter.over(connection, "database")
    await writer.insert(METRICS, b"block", "token")
    return connection.sent


async def test_every_insert_says_all_that_exactness_rests_on():
    [(table, columns, block, settings, fmt)] = await sent_by(Connection())
    assert (table, columns, block, fmt) == ("metrics", METRICS.columns, b"block", "Native")
    assert settings == {
        "insert_deduplication_token": "token",
        "insert_deduplicate": 1,
        "async_insert": 0,
        "deduplicate_blocks_in_dependent_materialized_views": 1,
        "materialized_views_ignore_errors": 0,
        "max_partitions_per_insert_block": 0,
        "send_progress_in_http_headers": 0,
    }


async def test_a_setting_that_overrules_deduplication_is_said_where_it_is_known():
    [(_, _, _, settings, _)] = await sent_by(Connection("deduplicate_insert"))
    assert settings["deduplicate_insert"] == "enable"


async def test_a_connection_that_fails_at_the_start_is_closed():
    connection = Connection(error=DatabaseError("x", code=241))
    with pytest.raises(Unavailable):
        await ClickHouseWriter.over(connection, "database")
    assert connection.closed
