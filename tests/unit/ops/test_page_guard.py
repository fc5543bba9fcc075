import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ops.page.guard import guard, names_loopback

pytestmark = pytest.mark.unit


@pytest.fixture
async def client():
    async def hello(_):
        return web.Response(text="hello")

    app = web.Application(middlewares=[guard])
    app.router.add_route("*", "/", hello)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8088", "localhost:1", "LOCALHOST", "[::1]", "[::1]:8088"])
def test_names_of_this_machine(host):
    assert names_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8088", "127.0.0.1.evil.example", "127.0.0.1:x", "10.0.0.1", "localhost."]
)
def test_other_names(host):
    assert not names_loopback(host)


async def test_answers_to_its_own_name(client):
    assert await (await client.get("/")).text() == "hello"


async def test_a_name_that_was_made_to_lead_here_is_refused(client):
    assert (await client.get("/", headers={"Host": "evil.example"})).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_shows(client, method):
    answer = await client.request(method, "/")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_what_another_page_embeds_is_refused(client, site):
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
    assert (await client.get("/", headers=headers)).status == 403


async def test_a_link_from_another_page_is_followed(client):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert (await client.get("/", headers=headers)).status == 200


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/nothing", 404)])
async def test_every_answer_keeps_the_browser_to_this_origin(client, path, status):
    answer = await client.get(path)
    assert answer.status == status
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
