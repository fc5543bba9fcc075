"""Migrations on ClickHouse's engine: applied once, whatever happens in between."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from schemas.errors import StrangeWorld, Unavailable
from schemas.topics import PARTITIONS
from sinks.clickhouse.migrate import Migration, load, migrate, pending
from sinks.clickhouse.statements import render, statements
from tests.support.engine import engine

pytestmark = pytest.mark.contract

A_DAY = 24 * 3600


def tables(client, database):
    return client.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = {d:String} ORDER BY name", {"d": database}
    ).result_rows


def columns(client, database):
    return client.query(
        "SELECT table, name, type, default_expression, comment FROM system.columns "
        "WHERE database = {d:String} ORDER BY table, position",
        {"d": database},
    ).result_rows


def test_an_empty_server_gets_everything_and_a_migrated_one_nothing(empty):
    client, database = empty
    assert pending(client, database=database) == load()
    assert migrate(client, database=database, partitions=PARTITIONS) == load()
    before = tables(client, database), columns(client, database)
    assert pending(client, database=database) == []
    assert migrate(client, database=database, partitions=PARTITIONS) == []
    assert (tables(client, database), columns(client, database)) == before


def test_migrations_are_numbered_without_gaps():
    assert [migration.number for migration in load()] == list(range(1, len(load()) + 1))


def test_every_statement_may_be_repeated(empty):
    client, database = empty
    migrate(client, database=database, partitions=PARTITIONS)
    before = tables(client, database), columns(client, database)
    client.command("TRUNCATE TABLE migrations")
    assert migrate(client, database=database, partitions=PARTITIONS) == load()
    assert (tables(client, database), columns(client, database)) == before


def test_a_migration_that_stopped_half_way_is_finished_by_the_next_run(empty):
    client, database = empty
    whole = Migration(
        1, "0001_two.sql", "CREATE TABLE IF NOT EXISTS a {engine}; CREATE TABLE IF NOT EXISTS b {engine};"
    )
    whole = replace(
        whole, script=whole.script.replace("{engine}", "(n Int8) ENGINE = {engine:} ORDER BY n SETTINGS {windows}")
    )
    half = replace(whole, script=whole.script + "SELECT throwIf(1)")
    with pytest.raises(Unavailable):
        migrate(client, database=database, partitions=1, migrations=[half])
    assert pending(client, database=database, migrations=[whole]) == [whole]
    assert migrate(client, database=database, partitions=1, migrations=[whole]) == [whole]
    assert {name for name, _ in tables(client, database)} == {"a", "b", "migrations"}


def test_tables_that_remember_too_few_inserts_are_widened_and_others_left_alone(empty):
    client, database = empty
    migrate(client, database=database, partitions=PARTITIONS)
    whole = tables(client, database)
    client.command("ALTER TABLE photo_outcomes MODIFY SETTING non_replicated_deduplication_window = 10")
    client.command("ALTER TABLE metrics MODIFY SETTING non_replicated_deduplication_window = 100000000")
    more = dict(tables(client, database))
    assert migrate(client, database=database, partitions=PARTITIONS) == []
    after = dict(tables(client, database))
    assert after["photo_outcomes"] == dict(whole)["photo_outcomes"]
    assert after["metrics"] == more["metrics"] != dict(whole)["metrics"]


def test_an_edited_migration_is_refused_in_one_line(empty):
    client, database = empty
    migrate(client, database=database, partitions=PARTITIONS)
    edited = [replace(load()[0], script=load()[0].script + "\n-- a word"), *load()[1:]]
    with pytest.raises(StrangeWorld, match=r"^0001_photos\.sql has been edited .* restore it") as refusal:
        migrate(client, database=database, partitions=PARTITIONS, migrations=edited)
    assert "\n" not in str(refusal.value)


def test_older_code_refuses_a_newer_database_in_one_line(empty):
    client, database = empty
    migrate(client, database=database, partitions=PARTITIONS)
    with pytest.raises(StrangeWorld, match=r"0006_audit\.sql, which this version does not know") as refusal:
        pending(client, database=database, migrations=load()[:-1])
    assert "\n" not in str(refusal.value)


def test_four_that_migrate_at_once_do_no_harm():
    with engine() as (client, database):

        def run(_):
            with engine() as (other, _):
                migrate(other, database=database, partitions=PARTITIONS)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(run, range(4)))
        assert pending(client, database=database) == []
        with engine() as (alone, reference):
            migrate(alone, database=reference, partitions=PARTITIONS)
            assert columns(client, database) == columns(alone, reference)


def test_every_table_and_every_column_has_a_comment(client):
    bare = client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = '' UNION ALL "
        "SELECT concat(table, '.', name) FROM system.columns WHERE database = currentDatabase() AND comment = '' "
        "AND table NOT IN (SELECT name FROM system.tables WHERE engine = 'MaterializedView')"
    ).result_rows
    assert bare == []


def test_on_a_cluster_every_statement_parses_and_every_table_is_replicated(client):
    for migration in load():
        for statement in statements(migration.script):
            rendered = render(statement, cluster="photos", window=5)
            formatted = client.query("SELECT formatQuerySingleLine({sql:String})", {"sql": rendered}).first_row[0]
            assert "ON CLUSTER photos" in formatted
            if formatted.startswith("CREATE TABLE"):
                assert "ENGINE = Replicated" in formatted
                assert "replicated_deduplication_window = 5" in formatted
                assert "replicated_deduplication_window_seconds = 604800" in formatted


def test_every_table_and_rollup_remembers_a_day_of_inserts_of_every_partition(client):
    engines = client.query(
        "SELECT name, toUInt64OrZero(extract(engine_full, ' non_replicated_deduplication_window = (\\\\d+)')) FROM system.tables "
        "WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name != 'migrations'"
    ).result_rows
    assert {name for name, _ in engines} >= {
        "photo_outcomes",
        "photo_outcomes_by_minute",
        "metrics",
        "metrics_by_minute",
    }
    assert [name for name, window in engines if window < A_DAY * (PARTITIONS + 2)] == []
