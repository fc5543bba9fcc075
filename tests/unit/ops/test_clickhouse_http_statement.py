"""Statements taken apart: where an INSERT's data begins, what is refused, what may be streamed."""

import pytest

from ops.stack.clickhouse_http.errors import ClickHouseError
from ops.stack.clickhouse_http.statement import parse

pytestmark = pytest.mark.unit

NOT_IMPLEMENTED, SYNTAX_ERROR, OUTFILE, DENIED = 48, 62, 358, 497


def code(query, body=b""):
    with pytest.raises(ClickHouseError) as error:
        parse(query, body)
    return error.value.code


@pytest.mark.parametrize(
    ("text", "sql", "format_", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x00;FORMAT\n", b"INSERT INTO t ", "Native", b"\x00;FORMAT\n"),
        (b"insert into t format CSV\r\n1,2\n", b"insert into t ", "CSV", b"1,2\n"),
        (b"INSERT INTO t FORMAT CSV 1,2", b"INSERT INTO t ", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT TSV\n\n", b"INSERT INTO t ", "TSV", b"\n"),
        (b"INSERT INTO t (`FORMAT`, a) FORMAT CSV\n1", b"INSERT INTO t (`FORMAT`, a) ", "CSV", b"1"),
        (
            b"/* INSERT */ INSERT INTO t -- VALUES\nVALUES (1)",
            b"/* INSERT */ INSERT INTO t -- VALUES\n",
            "Values",
            b" (1)",
        ),
        (b"INSERT INTO t FORMAT Values (1)", b"INSERT INTO t ", "Values", b" (1)"),
        (
            b"INSERT INTO t VALUES ('; DROP', 'it''s', 'a\\'b')",
            b"INSERT INTO t ",
            "Values",
            b" ('; DROP', 'it''s', 'a\\'b')",
        ),
    ],
)
def test_an_inserts_data_begin_after_its_format(text, sql, format_, data):
    statement = parse(text)
    assert (statement.sql, statement.format, bytes(statement.data)) == (sql, format_, data)
    assert not statement.answers


def test_settings_of_an_insert_come_apart_too():
    statement = parse(b"INSERT INTO t (a) SETTINGS a='FORMAT x', b=1 FORMAT CSV\n1")
    assert (statement.sql, statement.settings) == (b"INSERT INTO t (a) ", b"SETTINGS a='FORMAT x', b=1 ")
    assert (statement.format, bytes(statement.data)) == ("CSV", b"1")


@pytest.mark.parametrize(
    ("query", "body", "format_", "data"),
    [
        (b"INSERT INTO t FORMAT CSV", b"1,2\n", "CSV", b"1,2\n"),
        (b"INSERT INTO t VALUES", b"(1)", "Values", b"\n(1)"),
        (b"INSERT INTO t", b"(1),(2)", "Values", b" (1),(2)"),
        (b"INSERT INTO t (a, b)", b"(1, 2)", "Values", b" (1, 2)"),
    ],
)
def test_data_may_come_in_the_body_while_the_query_is_in_the_url(query, body, format_, data):
    statement = parse(query, body)
    assert (statement.format, bytes(statement.data)) == (format_, data)


@pytest.mark.parametrize("name", [b"values", b"d.values", b"format", b"TABLE d.format", b"settings", b"`values`"])
def test_a_table_may_be_called_like_a_keyword(name):
    statement = parse(b"INSERT INTO " + name + b" FORMAT CSV\n1")
    assert (statement.sql, statement.format, bytes(statement.data)) == (b"INSERT INTO " + name + b" ", "CSV", b"1")
    assert parse(b"INSERT INTO " + name + b" SELECT 1").data is None
    assert bytes(parse(b"INSERT INTO " + name + b" VALUES (1)").data) == b" (1)"


def test_an_insert_that_reads_its_data_by_input_is_refused_and_not_half_done():
    assert code(b"INSERT INTO t SELECT a FROM input('a UInt8') FORMAT CSV\n1\n") == NOT_IMPLEMENTED
    assert code(b"INSERT INTO t SELECT a FROM input('a UInt8') FORMAT CSV", b"1\n") == NOT_IMPLEMENTED


@pytest.mark.parametrize(
    "text", [b"INSERT INTO t SELECT 1", b"INSERT INTO t SELECT 1 FORMAT Null;", b"INSERT INTO t WITH 1 AS x SELECT x"]
)
def test_an_insert_of_a_query_has_no_data(text):
    assert parse(text).data is None
    assert not parse(text).answers


@pytest.mark.parametrize(
    ("text", "format_"),
    [
        (b"SELECT 1", None),
        (b"SELECT 1 FORMAT JSON", "JSON"),
        (b"SELECT ';' FORMAT JSON;;", "JSON"),
        (b"SELECT 1 FORMAT TSV SETTINGS max_threads = 1", "TSV"),
        (b"SELECT format FROM t", None),
        (b"SELECT format('{}', 1), 'FORMAT JSON'", None),
        (b"SELECT (SELECT 1 AS FORMAT) -- FORMAT JSON", None),
    ],
)
def test_the_format_of_a_result_is_the_one_at_the_end(text, format_):
    assert parse(text).format == format_


@pytest.mark.parametrize(
    "text", [b"SELECT 1", b"(SELECT 1)", b"WITH 1 AS x SELECT x", b"FROM t SELECT a", b"-- x\nselect 1"]
)
def test_a_select_answers_and_may_stream(text):
    assert parse(text).answers
    assert parse(text).streams


@pytest.mark.parametrize(
    "text", [b"SHOW TABLES", b"DESCRIBE t", b"EXPLAIN SELECT 1", b"SELECT 1 GROUP BY 1 WITH TOTALS"]
)
def test_what_the_engine_cannot_give_in_blocks_does_not_stream(text):
    assert parse(text).answers
    assert not parse(text).streams


@pytest.mark.parametrize(
    "text", [b"", b"  -- nothing", b"CREATE TABLE t (a UInt8) ENGINE = Log", b"SET max_threads = 1"]
)
def test_a_command_has_no_result(text):
    assert not parse(text).answers


@pytest.mark.parametrize(
    "text", [b"SELECT 1; SELECT 2", b"SELECT 1 FORMAT TSV; DROP TABLE t", b"SET readonly = 0; DROP TABLE t"]
)
def test_two_statements_are_refused(text):
    assert code(text) == SYNTAX_ERROR


@pytest.mark.parametrize("text", [b"SELECT 1;", b"SELECT 1; -- ; x", b"SELECT $$a ; b$$, ';', `;`"])
def test_a_semicolon_alone_makes_no_second_statement(text):
    parse(text)


@pytest.mark.parametrize(
    "text",
    [b"SELECT 1 INTO OUTFILE 'x'", b"INSERT INTO t FROM INFILE 'x' FORMAT CSV", b"insert into t from /**/ infile 'x'"],
)
def test_files_of_the_servers_machine_are_refused(text):
    assert code(text) == OUTFILE


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT file('x')",
        b"SELECT file /* */ ('x')",
        b"SELECT \"file\"('x')",
        b"SELECT `fi\\x6ce`('x')",
        b"INSERT INTO t VALUES (1), (file('x'))",
        b"INSERT INTO t FORMAT Values (file -- x\n('x'))",
        b"CREATE VIEW v AS SELECT FILE('x')",
    ],
)
def test_the_function_that_reads_files_is_refused_under_any_spelling(text):
    assert code(text) == DENIED


@pytest.mark.parametrize(
    "text", [b"SELECT profile('x')", b"SELECT 'file(1).jpg'", b"INSERT INTO t VALUES ('a file (1).jpg')"]
)
def test_what_only_looks_like_it_is_not(text):
    parse(text)
