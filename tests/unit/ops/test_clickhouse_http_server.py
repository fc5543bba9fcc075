"""The HTTP side alone, over an engine that answers as it is told."""

import asyncio
import json
import threading

import aiohttp
import lz4.frame
import pytest
from aiohttp import web

from ops.stack.clickhouse_http.errors import ClickHouseError
from ops.stack.clickhouse_http.server import HttpServer

pytestmark = pytest.mark.unit


class ScriptedAnswer:
    """Gives its pieces one by one; an exception among them is raised."""

    format = "TabSeparated"

    def __init__(self, pieces, *, whole=False):
        self.summary = {"read_rows": "7"}
        self._pieces = iter(pieces)
        self.whole = whole
        self.closed = threading.Event()

    def __next__(self):
        piece = next(self._pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece() if callable(piece) else piece

    def close(self):
        self.closed.set()


class ScriptedEngine:
    version, timezone, name = "26.9.1", "UTC", "scripted"

    def __init__(self, *answers):
        self._answers = list(answers)
        self.requests = []

    def run(self, request):
        self.requests.append(request)
        return self._answers.pop(0)


@pytest.fixture
async def serve():
    """Serve an engine; the URL."""
    runners = []

    async def serving(engine, **options):
        runner = HttpServer(engine, **{"threads": 2, "longest_body_bytes": 1000, **options}).runner(grace_seconds=1)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/"

    yield serving
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


LONG = [b"a" * 700_000, b"b" * 700_000, b"c" * 10]


async def test_a_short_answer_has_its_length_and_summary(serve, http):
    url = await serve(ScriptedEngine(ScriptedAnswer([b"1\n", b"2\n"])))
    async with http.post(url, data=b"SELECT 1") as answer:
        assert await answer.read() == b"1\n2\n"
        assert answer.headers["Content-Length"] == "4"
        assert json.loads(answer.headers["X-ClickHouse-Summary"]) == {"read_rows": "7"}
        assert answer.headers["X-ClickHouse-Format"] == "TabSeparated"
        assert answer.headers["X-ClickHouse-Timezone"] == "UTC"


async def test_a_long_answer_comes_in_pieces(serve, http):
    url = await serve(ScriptedEngine(ScriptedAnswer(LONG)))
    async with http.post(url, data=b"SELECT 1") as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert await answer.read() == b"".join(LONG)


async def test_a_long_answer_that_was_asked_for_whole_is_sent_whole(serve, http):
    url = await serve(ScriptedEngine(ScriptedAnswer(LONG, whole=True)))
    async with http.post(url, data=b"SELECT 1") as answer:
        assert answer.headers["Content-Length"] == "1400010"


@pytest.mark.parametrize("pieces", [[b"1\n"], LONG])
async def test_an_answer_is_compressed_when_both_sides_want_it(serve, http, pieces):
    url = await serve(ScriptedEngine(ScriptedAnswer(pieces)))
    async with http.post(
        f"{url}?enable_http_compression=1", data=b"SELECT 1", headers={"Accept-Encoding": "lz4"}
    ) as answer:
        assert answer.headers["Content-Encoding"] == "lz4"
        assert lz4.frame.decompress(await answer.read()) == b"".join(pieces)


async def test_an_early_error_is_a_plain_one(serve, http):
    answer = ScriptedAnswer([b"1\n", ClickHouseError(60, "Code: 60. DB::Exception: no. (UNKNOWN_TABLE)")])
    url = await serve(ScriptedEngine(answer))
    async with http.post(url, data=b"SELECT 1") as answered:
        assert answered.status == 404
        assert answered.headers["X-ClickHouse-Exception-Code"] == "60"
        assert await answered.text() == "Code: 60. DB::Exception: no. (UNKNOWN_TABLE) (version 26.9.1)\n"
    assert await asyncio.to_thread(answer.closed.wait, 5)


async def test_a_late_error_is_marked_in_the_stream(serve, http):
    url = await serve(
        ScriptedEngine(ScriptedAnswer([*LONG[:2], ClickHouseError(395, "Code: 395. DB::Exception: late.")]))
    )
    async with http.post(url, data=b"SELECT 1") as answer:
        tag = answer.headers["X-ClickHouse-Exception-Tag"]
        body = await answer.read()
    assert body.endswith(
        f"\r\n__exception__\r\n{tag}\r\nCode: 395. DB::Exception: late.\n32 {tag}\r\n__exception__\r\n".encode()
    )


async def test_a_client_that_leaves_ends_its_query(serve, http):
    go = threading.Event()
    answer = ScriptedAnswer([*LONG[:2], lambda: go.wait(10) and b"x" * 700_000, *[b"x" * 700_000] * 50])
    url = await serve(ScriptedEngine(answer))
    async with http.post(url, data=b"SELECT 1") as answered:
        await answered.content.readany()
        answered.close()
    go.set()
    assert await asyncio.to_thread(answer.closed.wait, 10)


async def test_a_client_that_leaves_in_the_middle_of_its_body_asks_nothing(serve, http):
    engine = ScriptedEngine()
    url = await serve(engine)
    _, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1].strip("/")))
    writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\nINSERT INTO t VALUES (1), (2")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with http.get(f"{url}ping") as answer:
        assert answer.status == 200
    assert engine.requests == []


async def test_more_statements_than_threads_wait_their_turn(serve, http):
    running, most, lock = [0], [0], threading.Lock()
    gate = threading.Event()

    def work():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        gate.wait(10)
        with lock:
            running[0] -= 1
        return b"1\n"

    engine = ScriptedEngine(*[ScriptedAnswer([work]) for _ in range(6)])
    url = await serve(engine, threads=2)
    async with aiohttp.ClientSession() as session:

        async def ask():
            async with session.post(url, data=b"SELECT 1") as answer:
                return await answer.read()

        asked = [asyncio.create_task(ask()) for _ in range(6)]
        threading.Timer(0.2, gate.set).start()
        assert await asyncio.gather(*asked) == [b"1\n"] * 6
    assert most[0] == 2


@pytest.mark.parametrize("how", ["plain", "lz4", "form"])
async def test_a_body_that_is_too_long_is_refused_in_one_line(serve, http, how):
    url = await serve(ScriptedEngine())
    data, headers = b"x" * 2000, {}
    if how == "lz4":
        data, headers = lz4.frame.compress(data), {"Content-Encoding": "lz4"}
    if how == "form":
        data = aiohttp.FormData({"query": "x" * 2000}, quote_fields=False)
        data._is_multipart = True
    async with http.post(url, data=data, headers=headers) as answer:
        assert answer.status == 413
        assert "longer than 1000 bytes: send it in smaller batches. (TOO_MANY_BYTES)" in await answer.text()


async def test_a_form_carries_the_query_and_its_parameters(serve, http):
    engine = ScriptedEngine(ScriptedAnswer([b"1\n"]))
    url = await serve(engine)
    with aiohttp.MultipartWriter("form-data") as form:
        for name, value in (("query", "SELECT {x:UInt8}"), ("param_x", "1")):
            form.append(value).set_content_disposition("form-data", name=name)
    async with http.post(f"{url}?max_threads=1", data=form) as answer:
        assert answer.status == 200
    (request,) = engine.requests
    assert (request.query, request.parameters, request.settings) == (
        b"SELECT {x:UInt8}",
        {"x": "1"},
        {"max_threads": "1"},
    )


async def test_external_data_are_refused(serve, http):
    url = await serve(ScriptedEngine())
    form = aiohttp.FormData()
    form.add_field("t", b"1\n", filename="t.tsv")
    async with http.post(url, data=form) as answer:
        assert answer.status == 501


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://127.0.0.1"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_what_a_web_page_could_send_never_reaches_the_engine(serve, http, headers):
    engine = ScriptedEngine()
    url = await serve(engine)
    async with http.post(url, data=b"DROP TABLE t", headers=headers) as answer:
        assert answer.status == 403
    assert engine.requests == []


@pytest.mark.parametrize("path", ["", "ping", "replicas_status"])
async def test_it_says_ok_without_the_engine(serve, http, path):
    url = await serve(ScriptedEngine())
    async with http.get(f"{url}{path}") as answer:
        assert await answer.text() == "Ok.\n"


async def test_a_query_by_get_only_reads(serve, http):
    engine = ScriptedEngine(ScriptedAnswer([b"1\n"]))
    url = await serve(engine)
    async with http.get(url, params={"query": "SELECT 1"}) as answer:
        assert await answer.read() == b"1\n"
    assert engine.requests[0].settings == {"readonly": "2"}
