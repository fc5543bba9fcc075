"""The declared tables hang together."""

import pytest

from schemas.tables import TABLES

pytestmark = pytest.mark.unit


def test_no_table_is_declared_twice():
    assert len({table.name for table in TABLES}) == len(TABLES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_no_column_is_declared_twice(table):
    assert len(set(table.columns)) == len(table.columns)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_what_clickhouse_fills_is_not_written(table):
    assert not {"stored_at", "revision"} & set(table.columns)
