"""The embedded ClickHouse through unmodified clients: what it must do as ClickHouse's server does, and what it must survive."""

import asyncio
import datetime as dt
import decimal
import http.client
import os
import secrets
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import clickhouse_connect
import numpy as np
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, StreamFailureError

from ops.stack.clickhouse import ClickHouse
from ops.stack.process import StackError
from tests.support.eventually import eventually

pytestmark = pytest.mark.integration

# As the writer sends them: the server's own default is asynchronous inserts.
EXACT = {"async_insert": 0, "insert_deduplicate": 1, "deduplicate_blocks_in_dependent_materialized_views": 1}


def client(server, **options):
    return clickhouse_connect.get_client(dsn=server.url, autogenerate_session_id=False, **options)


def exact(token):
    return {**EXACT, "insert_deduplication_token": token}


@pytest.fixture
def database(clickhouse):
    """The name of a database of this test's own."""
    name = f"t{secrets.token_hex(4)}"
    with client(clickhouse) as admin:
        admin.command(f"CREATE DATABASE {name}")
    yield name
    with client(clickhouse) as admin:
        admin.command(f"DROP DATABASE {name}")


@pytest.fixture
def db(clickhouse, database):
    """A client in that database."""
    with client(clickhouse, database=database) as db:
        yield db


@pytest.fixture
def own_server(tmp_path):
    """A server of this test's own, which it may kill."""
    it = ClickHouse(tmp_path / "clickhouse", port=0)
    it.start()
    yield it
    it.stop()


def create_numbers(db, table="numbers"):
    db.command(
        f"CREATE TABLE {table} (k UInt64, v UInt64) ENGINE = MergeTree ORDER BY k SETTINGS non_replicated_deduplication_window = 1000"
    )


def create_rollup(db):
    create_numbers(db)
    db.command(
        "CREATE TABLE rollup (k UInt64, n UInt64) ENGINE = SummingMergeTree ORDER BY k"
        " SETTINGS non_replicated_deduplication_window = 1000"
    )
    db.command(
        "CREATE MATERIALIZED VIEW to_rollup TO rollup AS SELECT k % 10 AS k, count() AS n FROM numbers GROUP BY k"
    )


def count(db, what="count()", table="numbers"):
    return db.query(f"SELECT {what} FROM {table}").first_row[0]


def refused(db, sql, **options):
    with pytest.raises(DatabaseError) as error:
        db.command(sql, **options)
    return error.value.code


def http_get(server, path, **headers):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


# Types and forms

TYPES = {
    "id": "UInt64",
    "at": "DateTime64(3, 'UTC')",
    "sha": "FixedString(4)",
    "embedding": "Array(Float32)",
    "kind": "LowCardinality(String)",
    "labels": "Map(String, Float32)",
    "note": "Nullable(String)",
    "hash": "UInt128",
    "amount": "Decimal(18, 4)",
    "root": "Tuple(UInt32, UInt64)",
    "uuid": "UUID",
    "day": "Date",
    "ok": "Bool",
}
ROWS = [
    [
        number,
        dt.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=dt.UTC),
        bytes([0, 10, 255, number]),
        [0.5, -1.5] * number,
        f"kind {number % 2}",
        {"cat": 0.25, "it's\ta \\ map": 0.5},
        None if number % 2 else "ñ, \n and 'quotes'",
        2**127 + number,
        decimal.Decimal("1.5"),
        (number, 2**40),
        uuid.UUID(int=number),
        dt.date(2026, 1, 2),
        True,
    ]
    for number in range(5)
]


@pytest.fixture
def typed(db):
    columns = ", ".join(f"{name} {type_}" for name, type_ in TYPES.items())
    db.command(f"CREATE TABLE typed ({columns}) ENGINE = MergeTree ORDER BY id")
    return "typed"


def read_back(db):
    return [
        list(row) for row in db.query("SELECT * FROM typed ORDER BY id", query_tz="UTC", tz_mode="aware").result_rows
    ]


def test_rows_of_every_type_come_back_as_they_were(db, typed):
    db.insert(typed, ROWS, column_names=list(TYPES))
    assert read_back(db) == ROWS


def test_columns_of_every_type_come_back_as_they_were(db, typed):
    db.insert(
        typed, [list(column) for column in zip(*ROWS, strict=True)], column_names=list(TYPES), column_oriented=True
    )
    assert read_back(db) == ROWS


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_every_compression_works_both_ways(clickhouse, database, db, typed, compress):
    with client(clickhouse, database=database, compress=compress) as other:
        other.insert(typed, ROWS, column_names=list(TYPES))
        assert read_back(other) == ROWS
        assert len(other.query("SELECT number FROM numbers(300000)").result_rows) == 300_000


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_every_row_of_a_large_batch_arrives(clickhouse, database, db, compress):
    """The client cuts it into blocks and compresses each by itself."""
    db.command("CREATE TABLE wide (id UInt32, e Array(Float32), s String) ENGINE = MergeTree ORDER BY id")
    rows = [[number, [0.5] * 640, f"photo {number}" * 20] for number in range(20_000)]
    with client(clickhouse, database=database, compress=compress) as other:
        summary = other.insert("wide", rows, column_names=["id", "e", "s"])
    assert summary.written_rows == 20_000
    assert count(db, "uniqExact(id)", "wide") == 20_000


def test_numpy_goes_in_and_out(db):
    db.command("CREATE TABLE vectors (id UInt32, e Array(Float32)) ENGINE = MergeTree ORDER BY id")
    vectors = np.random.default_rng(1).random((50, 1280), dtype=np.float32)
    db.insert(
        "vectors", [np.arange(50, dtype=np.uint32), list(vectors)], column_names=["id", "e"], column_oriented=True
    )
    back = db.query("SELECT e FROM vectors ORDER BY id").result_columns[0]
    assert np.array_equal(np.array(back, dtype=np.float32), vectors)


def test_parameters_are_values_and_not_sql(db):
    given = {"n": 7, "s": "o'x\t\\ {n:UInt8} ; DROP", "l": ["a", "b'"], "at": dt.datetime(2026, 1, 2, 3, 4, 5)}  # noqa: DTZ001 (as clients give it)
    row = db.query("SELECT {n:UInt8} + 1, {s:String}, {l:Array(String)}, {at:DateTime}", parameters=given).first_row
    assert row[:3] == (8, given["s"], given["l"])
    assert row[3] == given["at"]


def test_parameters_may_come_as_a_form(clickhouse):
    with client(clickhouse, form_encode_query_params=True) as other:
        long = "x" * 100_000
        assert other.query("SELECT length({s:String})", parameters={"s": long}).first_row == (100_000,)


def test_a_table_may_be_a_parameter_of_an_insert(clickhouse, database, db):
    create_numbers(db)
    query = quote("INSERT INTO {t:Identifier} FORMAT CSV")
    url = f"{clickhouse.url}/?database={database}&param_t=numbers&query={query}"
    urllib.request.urlopen(url, b"1,2\n", timeout=10).close()
    assert count(db) == 1


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", b"INSERT INTO numbers FORMAT TabSeparated\n1\t2\n3\t4\n"),
        ("INSERT INTO numbers FORMAT JSONEachRow", b'{"k":1,"v":2}{"k":3,"v":4}'),
        ("INSERT INTO numbers VALUES", b"(1, 2), (1 + 2, 4)"),
        ("INSERT INTO numbers (k, v)", b"(1, 2), (3, 4)"),
        ("INSERT INTO numbers (k, v) SETTINGS max_threads = 1, async_insert = 0 FORMAT CSV", b"1,2\n3,4\n"),
        ("", b"INSERT INTO numbers SELECT 2 * number + 1, 2 * number + 2 FROM numbers(2)"),
    ],
)
def test_an_insert_may_come_in_any_form_that_curl_users_know(clickhouse, database, db, query, body):
    create_numbers(db)
    urllib.request.urlopen(f"{clickhouse.url}/?database={database}&query={quote(query)}", body, timeout=10).close()
    assert db.query("SELECT * FROM numbers ORDER BY k").result_rows == [(1, 2), (3, 4)]


@pytest.mark.parametrize(
    ("format_", "answer"),
    [("TabSeparated", b"0\n1\n"), ("CSVWithNames", b'"number"\n0\n1\n'), ("JSONCompactEachRow", b"[0]\n[1]\n")],
)
def test_a_result_comes_in_the_format_that_it_names(clickhouse, format_, answer):
    assert http_get(clickhouse, f"/?query={quote(f'SELECT number FROM numbers(2) FORMAT {format_}')}") == (200, answer)


def test_columns_are_known_without_rows(db):
    assert db.query("SELECT 1 AS a, 'x' AS b LIMIT 0").column_names == ("a", "b")


# Several at once


async def test_the_async_client_works_with_many_queries_at_once(clickhouse, database, db):
    create_numbers(db)
    other = await clickhouse_connect.get_async_client(dsn=f"{clickhouse.url}/{database}", autogenerate_session_id=False)
    try:
        await asyncio.gather(*(other.insert("numbers", [[number, 1]], column_names=["k", "v"]) for number in range(30)))
        counts = await asyncio.gather(*(other.query("SELECT count(), sum(v) FROM numbers") for _ in range(30)))
        assert {answer.first_row for answer in counts} == {(30, 30)}
    finally:
        await other.close()


def test_one_token_from_four_writers_at_once_counts_once_in_table_and_rollup(clickhouse, database, db):
    create_rollup(db)

    def write(batch):
        with client(clickhouse, database=database) as other:
            rows = [[batch * 100 + number, 1] for number in range(100)]
            other.insert("numbers", rows, column_names=["k", "v"], settings=exact(f"batch {batch}"))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, [batch for batch in range(20) for _ in range(4)]))
    assert (count(db), count(db, "sum(n)", "rollup")) == (2000, 2000)


def test_what_one_request_sets_no_other_sees(clickhouse, database, db):
    db.command("SET max_threads = 3", settings={"max_block_size": 7})
    assert db.query("SELECT getSetting('max_block_size'), getSetting('readonly')").first_row != (7, 0)
    with pytest.raises(DatabaseError, match="READONLY"):
        db.command("CREATE TABLE t (a UInt8) ENGINE = Log", settings={"readonly": 1})
    db.command("CREATE TABLE t (a UInt8) ENGINE = Log")
    assert count(db, table="t") == 0


# Errors


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT * FROM nowhere", 60),
        ("SELEC 1", 62),
        ("SELECT nothing", 47),
        ("SELECT toUInt8('x')", 6),
        ("SELECT throwIf(1)", 395),
        ("SELECT 1; SELECT 2", 62),
        ("USE nowhere", 81),
    ],
)
def test_errors_have_clickhouses_codes(db, sql, code):
    assert refused(db, sql) == code


def test_an_unknown_database_or_setting_is_named(clickhouse, db):
    assert http_get(clickhouse, "/?query=SELECT+1&database=nowhere")[0] == 404
    status, text = http_get(clickhouse, "/?query=SELECT+1&no_such_setting=1")
    assert (status, b"Unknown setting 'no_such_setting'" in text) == (404, True)


def test_a_column_of_the_wrong_type_is_a_type_mismatch(db):
    db.command("CREATE TABLE arrays (a Array(UInt8)) ENGINE = MergeTree ORDER BY tuple()")
    native = db.raw_query("SELECT toUInt8(1) AS a", fmt="Native")
    with pytest.raises(DatabaseError) as error:
        db.raw_insert("arrays", column_names=["a"], insert_block=native, fmt="Native")
    assert (error.value.code, error.value.name) == (53, "TYPE_MISMATCH")


def test_too_many_parts_are_said_so_that_a_writer_can_wait(db):
    db.command(
        "CREATE TABLE parts (a UInt8) ENGINE = MergeTree ORDER BY a"
        " SETTINGS parts_to_throw_insert = 3, parts_to_delay_insert = 1000"
    )
    db.command("SYSTEM STOP MERGES parts")

    def insert_many_parts():
        for number in range(10):
            db.insert("parts", [[number]], column_names=["a"], settings={"async_insert": 0})

    with pytest.raises(DatabaseError) as error:
        insert_many_parts()
    assert (error.value.code, error.value.name) == (252, "TOO_MANY_PARTS")


@pytest.mark.parametrize(
    ("table", "settings", "code"),
    [
        ("(k UInt64, v UInt64, CONSTRAINT small CHECK k < 5) ENGINE = MergeTree ORDER BY k", {}, 469),
        (
            "(k UInt64, v UInt64) ENGINE = MergeTree ORDER BY k PARTITION BY k",
            {"max_partitions_per_insert_block": 2},
            252,
        ),
    ],
)
def test_an_insert_that_the_table_refuses_is_never_acknowledged(db, table, settings, code):
    db.command(f"CREATE TABLE numbers {table}")
    with pytest.raises(DatabaseError) as error:
        db.insert(
            "numbers", [[number, 1] for number in range(10)], column_names=["k", "v"], settings={**EXACT, **settings}
        )
    assert (error.value.code, count(db)) == (code, 0)


def test_an_insert_that_its_view_refuses_is_never_acknowledged(db):
    create_rollup(db)
    db.command("CREATE MATERIALIZED VIEW broken TO rollup AS SELECT throwIf(k = 3) AS k, v AS n FROM numbers")
    with pytest.raises(DatabaseError) as error:
        db.insert("numbers", [[number, 1] for number in range(10)], column_names=["k", "v"], settings=exact("x"))
    assert error.value.code == 395


def test_a_bad_row_leaves_nothing_of_its_batch(db, clickhouse, database):
    create_numbers(db)
    body = b"INSERT INTO numbers FORMAT TabSeparated\n1\t2\nx\ty\n"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{clickhouse.url}/?database={database}", body, timeout=10)
    assert error.value.code == 400
    error.value.close()
    assert count(db) == 0


# Streams


def test_a_long_result_streams(db):
    rows = 0
    with db.query_row_block_stream("SELECT number, toString(number) FROM numbers(1000000)") as blocks:
        for block in blocks:
            rows += len(block)
    assert rows == 1_000_000


def test_an_error_in_the_middle_of_a_stream_reaches_the_client(db):
    with (
        pytest.raises(StreamFailureError, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        db.query_row_block_stream("SELECT number, throwIf(number = 900000) FROM numbers(1000000)") as blocks,
    ):
        for _ in blocks:
            pass


def test_a_failed_query_leaves_nothing_in_the_next_answer(clickhouse):
    """The engine keeps what a failed query wrote, and gives it with the next result of the same session."""
    fails = quote("SELECT number, throwIf(number = 900000) FROM numbers(1000000) FORMAT JSON")
    for _ in range(10):
        assert http_get(clickhouse, f"/?query={fails}")[0] == 500
        assert http_get(clickhouse, "/?query=SELECT+1") == (200, b"1\n")


def test_a_stream_that_is_left_early_frees_its_thread(own_server):
    for _ in range(10):  # more than there are threads
        connection = http.client.HTTPConnection(urlsplit(own_server.url).netloc, timeout=10)
        connection.request("GET", f"/?query={quote('SELECT number FROM numbers(1000000000000)')}")
        connection.getresponse().read(1)
        connection.close()
    eventually(lambda: healthy(own_server))


def healthy(server):
    assert server.healthy()


# Who may ask, and what for


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8123"])
def test_no_web_page_may_send_sql(clickhouse, db, origin):
    create_numbers(db)
    request = urllib.request.Request(clickhouse.url, b"DROP TABLE numbers", {"Origin": origin})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=10)
    assert error.value.code == 403
    error.value.close()
    assert count(db) == 0


def test_a_name_that_was_made_to_lead_here_is_refused(clickhouse):
    assert http_get(clickhouse, "/?query=SELECT+1", Host="rebound.example")[0] == 403


def test_a_get_only_reads(clickhouse, database, db):
    create_numbers(db)
    status, text = http_get(clickhouse, f"/?database={database}&query={quote('TRUNCATE TABLE numbers')}")
    assert (status, b"READONLY" in text) == (500, True)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('x.csv', 'LineAsString')",
        "SELECT file('x.csv')",
        "SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')",
        "SELECT * FROM s3('http://127.0.0.1:9/bucket/key', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1:9', 'system.one')",
        "CREATE TABLE f (a String) ENGINE = File('TSV')",
        "CREATE TABLE f (a String) ENGINE = URL('http://127.0.0.1:9/')",
        "CREATE DATABASE f ENGINE = Filesystem('/')",
        "CREATE DICTIONARY f (a UInt64, b String) PRIMARY KEY a SOURCE(HTTP(url 'http://127.0.0.1:9/' format 'TSV')) LAYOUT(FLAT()) LIFETIME(0)",
        "SELECT 1 INTO OUTFILE 'x'",
        "CREATE USER u",
    ],
)
def test_it_reads_no_files_and_calls_nobody(db, sql):
    assert refused(db, sql) in (497, 358)


# Its life


def test_a_second_server_on_the_folder_is_refused_in_one_line(own_server, tmp_path):
    command = [sys.executable, "-m", "ops.stack.clickhouse_http", tmp_path / "clickhouse" / "tables", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "is in use by another ClickHouse: stop it, or name another folder" in done.stderr
    assert own_server.healthy()


def test_another_server_on_the_port_does_not_pass_for_this_one(own_server, tmp_path):
    other = ClickHouse(tmp_path / "other", port=own_server.port)
    assert not other.healthy()
    other.start()
    try:
        assert other.port != own_server.port
        assert other.healthy()
    finally:
        other.stop()


def test_it_ends_at_sigterm_with_its_work_done_and_comes_back_with_all_of_it(own_server):
    with client(own_server) as db:
        create_numbers(db)
    slow = "INSERT INTO numbers SELECT number, sleepEachRow(0.05) FROM numbers(20) SETTINGS max_block_size = 5"
    with ThreadPoolExecutor(1) as thread, client(own_server) as db:
        insert = thread.submit(db.command, slow)
        eventually(lambda: running(own_server, "sleepEachRow"))
        own_server.stop()
        insert.result(10)
    assert own_server.returncode == 0
    port = own_server.port
    own_server.start()
    assert own_server.port == port
    with client(own_server) as db:
        assert count(db) == 20


def running(server, text):
    with client(server) as db:
        query = "SELECT count() FROM system.processes WHERE query LIKE {q:String} AND query NOT LIKE '%processes%'"
        assert db.query(query, parameters={"q": f"%{text}%"}).first_row == (1,)


class Writer(threading.Thread):
    """Inserts batch after batch; each again, with its token, until it is acknowledged."""

    rows = 500

    def __init__(self, server):
        super().__init__()
        self.acknowledged = 0
        self.repeated = 0
        self.ended = threading.Event()
        self._server = server

    def run(self):
        db = None
        while not self.ended.is_set():
            batch = [[self.acknowledged * self.rows + number, 1] for number in range(self.rows)]
            try:
                db = db or client(self._server, query_retries=0)
                db.insert("numbers", batch, column_names=["k", "v"], settings=exact(f"batch {self.acknowledged}"))
                self.acknowledged += 1
            except ClickHouseError:
                self.repeated += 1
        if db:
            db.close()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # sockets of clients whose server was killed
def test_six_kills_lose_and_double_nothing_that_was_acknowledged(own_server):
    with client(own_server) as db:
        create_rollup(db)
    writer = Writer(own_server)
    writer.start()
    try:
        for _ in range(6):
            before = writer.acknowledged
            eventually(lambda before=before: at_least(writer.acknowledged, before + 5), within=30)
            os.kill(own_server.pid, signal.SIGKILL)
            eventually(lambda: dead(own_server))
            own_server.start()
    finally:
        writer.ended.set()
        writer.join(30)
    assert writer.repeated >= 6
    with client(own_server) as db:
        assert (
            db.query("SELECT count(), uniqExact(k) FROM numbers").first_row == (writer.acknowledged * Writer.rows,) * 2
        )
        assert count(db, "sum(n)", "rollup") == writer.acknowledged * Writer.rows


def at_least(number, bound):
    assert number >= bound


def dead(server):
    assert not server.running()


def test_a_folder_of_another_program_is_refused(tmp_path):
    (tmp_path / "clickhouse" / "tables" / "metadata" / "default").mkdir(parents=True)
    (tmp_path / "clickhouse" / "tables" / "metadata" / "default" / "t.sql").write_text(
        "ATTACH TABLE t (a UInt8) ENGINE = Log"
    )
    with pytest.raises(StackError, match="written by another program"):
        ClickHouse(tmp_path / "clickhouse", port=0).start()
