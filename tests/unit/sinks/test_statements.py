"""SQL scripts, cut and filled in."""

import pytest

from sinks.clickhouse.statements import render, statements

pytestmark = pytest.mark.unit


def test_statements_end_at_semicolons():
    assert statements("SELECT 1;\nSELECT 2 ; SELECT 3") == ["SELECT 1", "SELECT 2", "SELECT 3"]


@pytest.mark.parametrize(
    "script",
    [
        "SELECT 'one; two'",
        "SELECT 'it''s; one'",
        r"SELECT 'it\'s; one'",
        'SELECT 1 AS "a;b"',
        "SELECT 1 AS `a;b`",
        "SELECT '-- no comment; at all'",
        "SELECT 10 / 2 - 1",
    ],
)
def test_a_semicolon_in_a_string_or_a_name_ends_nothing(script):
    assert statements(script) == [script]


def test_comments_are_left_out_with_their_semicolons_and_quotes():
    script = "-- it's; one\nSELECT 1 -- a; b\n; /* don't;\n stop */ SELECT 2; -- the end;"
    assert statements(script) == ["SELECT 1", "SELECT 2"]


def test_nothing_is_no_statement():
    assert statements(" ;; -- only this;\n") == []


def test_alone_a_table_remembers_inserts_by_number():
    rendered = render(
        "CREATE TABLE t {on_cluster} ENGINE = {engine:Replacing(v)} SETTINGS {windows}", cluster="", window=7
    )
    assert rendered == "CREATE TABLE t  ENGINE = ReplacingMergeTree(v) SETTINGS non_replicated_deduplication_window = 7"


def test_on_a_cluster_a_table_is_replicated_and_remembers_inserts_by_number_and_age():
    rendered = render("CREATE TABLE t {on_cluster} ENGINE = {engine:} SETTINGS {windows}", cluster="c", window=7)
    assert rendered == (
        "CREATE TABLE t ON CLUSTER 'c' ENGINE = ReplicatedMergeTree SETTINGS replicated_deduplication_window = 7, "
        "replicated_deduplication_window_seconds = 604800"
    )


def test_other_braces_stay():
    assert render("SELECT {name:String}", cluster="c", window=7) == "SELECT {name:String}"
