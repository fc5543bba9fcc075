import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

import ops.page
from ops.dashboards import panels
from ops.page.server import Page
from ops.stack.status import ServerStatus, only_stack, publish
from schemas.errors import Unavailable
from streams.settings import Settings
from tests.support.answers import Answers
from tests.support.pictures import picture

pytestmark = pytest.mark.unit

FILES = Path(ops.page.__file__).parent
PHOTO = picture((800, 600))


@pytest.fixture
def clickhouse():
    return Answers(columns=("t", "value"), rows=[[1000, 2.5]])


@pytest.fixture
async def client(clickhouse, tmp_path):
    page = Page(Settings(data=tmp_path, object_roots=(tmp_path.as_uri(),)), clickhouse=clickhouse)
    async with TestClient(TestServer(page.application())) as client:
        yield client


async def test_lists_its_panels_without_their_queries(client):
    listed = (await (await client.get("/panels")).json())["panels"]
    assert [panel["name"] for panel in listed] == [panel.name for panel in panels()]
    assert "SELECT" not in json.dumps(listed)


async def test_a_panel_is_what_its_query_says(client, clickhouse):
    answer = await (await client.get("/panel/lag?seconds=300")).json()
    assert answer == {"columns": ["t", "value"], "rows": [[1000, 2.5]], "asked_at": 1000.0, "rounding": 5}
    assert clickhouse.asked == [
        (next(panel.sql for panel in panels() if panel.name == "lag"), {"seconds": 300, "rounding": 5})
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/panel/lag", 400),
        ("/panel/lag?seconds=301", 400),
        ("/panel/lag?seconds=-300", 400),
        ("/panel/lag?seconds=300;DROP", 400),
        ("/panel/nothing?seconds=300", 404),
        ("/panel/..%2Fpage?seconds=300", 404),
        ("/server.py", 404),
        ("/photo.sql", 404),
        ("/vendor/../server.py", 404),
    ],
)
async def test_what_there_is_not_costs_no_query(client, clickhouse, path, status):
    assert (await client.get(path)).status == status
    assert clickhouse.asked == []


async def test_an_outage_says_what_to_do(client, clickhouse):
    clickhouse.error = Unavailable("clickhouse", "no answer: start it")
    answer = await client.get("/panel/lag?seconds=300")
    assert answer.status == 503
    assert "start it" in (await answer.json())["detail"]


async def test_what_is_running_is_what_the_stack_says(client, tmp_path):
    assert await (await client.get("/running")).json() is None
    server = ServerStatus(
        "kafka", 7, "127.0.0.1:9092", "2026-01-01T00:00:00+00:00", 1, healthy=True, last_exit_code=137
    )
    with only_stack(tmp_path):
        publish(tmp_path, [server])
        (listed,) = await (await client.get("/running")).json()
    assert listed["name"] == "kafka"
    assert listed["restarts"] == 1


async def test_a_photo_is_a_jpeg_that_browsers_ask_for_anew(client, clickhouse, tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(PHOTO)
    clickhouse.rows = [[file.as_uri(), sha256(PHOTO).hexdigest(), len(PHOTO)]]
    photo = await client.get("/photo", params={"owner": "o/../&", "photo": "<b>"})
    assert photo.content_type == "image/jpeg"
    assert clickhouse.asked[0][1] == {"owner": "o/../&", "photo": "<b>"}
    again = await client.get("/photo", headers={"If-None-Match": photo.headers["ETag"]})
    assert again.status == 304
    clickhouse.rows = []
    gone = await client.get("/photo", headers={"If-None-Match": photo.headers["ETag"]})
    assert gone.status == 404


async def test_a_photo_that_cannot_be_read_has_a_quiet_placeholder(client, clickhouse):
    clickhouse.rows = [["file:///etc/passwd", "00" * 32, 5]]
    answer = await client.get("/photo?owner=o&photo=p")
    assert (answer.status, answer.content_type) == (200, "image/svg+xml")
    assert answer.headers["Cache-Control"] == "no-store"


async def test_every_file_that_the_page_names_is_served(client):
    html = (FILES / "index.html").read_text()
    named = re.findall(r'(?:href|src)="(/[^"]+)"', html)
    scripts = [f"/{name}" for file in FILES.glob("*.js") for name in re.findall(r'from "\./([^"]+)"', file.read_text())]
    assert len(named) >= 6
    assert len(scripts) >= 6
    for path in ["/", *named, *scripts]:
        assert (await client.get(path)).status == 200, path


def test_the_page_has_no_query_and_parses_no_html():
    for file in FILES.glob("*.js"):
        text = file.read_text()
        assert not re.search(r"\bSELECT\b", text), file
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text), file


def test_the_page_asks_nobody_else():
    for file in (*FILES.glob("*.js"), *FILES.glob("*.css"), FILES / "index.html"):
        assert not re.search(r"https?://", file.read_text()), file
