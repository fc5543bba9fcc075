"""The page and its server over a real ClickHouse whose rows the test writes itself, through a real Chromium."""

import json
import re
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from ops.dashboards import panels
from ops.page.panels import Panels, ReadOnly
from ops.prepare import prepare_database
from ops.stack.clickhouse import ClickHouse
from ops.stack.status import ServerStatus, only_stack, publish
from schemas import tables
from schemas.errors import StrangeWorld, Unavailable
from sinks.clickhouse.client import connect
from streams.settings import Settings
from tests.support.browser import chromium
from tests.support.eventually import eventually
from tests.support.page import Sight, serving
from tests.support.pictures import picture
from tests.support.providers import namespace

pytestmark = pytest.mark.integration

PHOTO = picture((800, 600))
EVIL = '<img src=x onerror="document.title=1">&"\'`${1}'


class Database:
    """A database of the test's own, and rows for it as store would write them."""

    def __init__(self, url, folder):
        self.objects = folder / "objects"
        self.objects.mkdir()
        self.settings = Settings(
            clickhouse_url=url, namespace=namespace(), data=folder / "data", object_roots=(self.objects.as_uri(),)
        )
        self.settings.data.mkdir()
        prepare_database(self.settings)

    def insert(self, table, **columns):
        row = {name: DEFAULTS[name] for name in table.columns if name in DEFAULTS} | columns
        with closing(
            connect(url=self.settings.clickhouse_url, user="default", password="", database=self.settings.database)
        ) as client:
            client.insert(table.name, [list(row.values())], column_names=list(row))

    def photo(self, photo_id, labels, **columns):
        """A photo that can be read, 2 s from its upload to its row."""
        self.objects.joinpath("photo.jpg").write_bytes(PHOTO)
        stored = columns.pop("stored_at", now())
        same = {"uploaded_at": stored - timedelta(seconds=2), "stored_at": stored, "stamp": "first"}
        self.insert(
            tables.PHOTO_ENRICHMENTS,
            **{
                "photo_id": photo_id,
                "owner_id": "owner",
                "object_uri": (self.objects / "photo.jpg").as_uri(),
                "content_sha256": sha256(PHOTO).hexdigest(),
                "size_bytes": len(PHOTO),
                "labels.model": ["scene_label"] * len(labels),
                "labels.name": [name for name, _ in labels],
                "labels.score": [score for _, score in labels],
                **same,
                **columns,
            },
        )
        self.insert(tables.PHOTO_OUTCOMES, outcome="enriched", at=stored, **same)

    def dead_letter(self, photo_id, **columns):
        self.insert(tables.DEAD_LETTERS, **{"photo_id": photo_id, "owner_id": "owner", "rejected_at": now(), **columns})

    def worker(self, agent, at=None, up=1.0):
        for name, value in (("photos_worker_up", up), ("photos_worker_resident_bytes", 150.0 * 2**20)):
            self.insert(tables.METRICS, name=name, agent=agent, worker=f"{agent}-host-1", at=at or now(), value=value)

    def workers(self, **keywords):
        for agent in ("admit", "enrich", "resume", "group", "store"):
            self.worker(agent, **keywords)


NUMBERS = ("root_generation", "root_partition", "root_offset", "attempt", "fill", "size_bytes", "width", "height")
LISTS = ("labels.model", "labels.name", "labels.score", "models.name", "models.version", "missing")
DEFAULTS = dict.fromkeys((*NUMBERS, "payload_bytes"), 0) | dict.fromkeys((*LISTS, "buckets.index", "buckets.count"), ())
DEFAULTS |= {"captured_at": None, "labels": {}} | dict.fromkeys(("admitted_at", "enriched_at"), datetime.now(UTC))


def now():
    return datetime.now(UTC)


@pytest.fixture
def database(clickhouse, tmp_path):
    return Database(clickhouse.url, tmp_path)


@pytest.fixture
def page(database):
    with serving(database.settings) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def sight(page, browser):
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    sight = Sight(context, page)
    yield sight
    context.close()
    assert sight.elsewhere == []


class TestReadOnly:
    async def test_every_panel_of_every_span_has_an_answer(self, database):
        database.workers()
        database.photo("p", [("espresso", 0.9)])
        clickhouse = ReadOnly(database.settings)
        answers = Panels(clickhouse, {panel.name: panel.sql for panel in panels()})
        for panel in panels():
            for seconds in (300, 3600, 86400):
                answer = await answers.answer(panel.name, seconds)
                assert json.dumps(answer.rows, allow_nan=False)
                assert all(len(row) == len(answer.columns) for row in answer.rows)
        await clickhouse.close()

    @pytest.mark.parametrize(
        "sql",
        ["DROP TABLE photo_outcomes", "INSERT INTO migrations (number) VALUES (9)", "SELECT 1 SETTINGS readonly = 0"],
    )
    async def test_nothing_can_be_changed(self, database, sql):
        clickhouse = ReadOnly(database.settings)
        with pytest.raises((StrangeWorld, Unavailable)):
            await clickhouse.ask(sql, {})
        assert (await clickhouse.ask("SELECT count() FROM photo_outcomes", {})).rows == [[0]]
        await clickhouse.close()

    async def test_a_query_without_an_end_is_ended(self, database):
        clickhouse = ReadOnly(database.settings)
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await clickhouse.ask("SELECT max(sipHash64(number)) FROM system.numbers", {})
        assert time.monotonic() - began < 9
        await clickhouse.close()

    async def test_a_database_without_tables_says_so(self, clickhouse):
        asked = ReadOnly(Settings(clickhouse_url=clickhouse.url, namespace=namespace()))
        with pytest.raises(StrangeWorld, match="safelight migrate"):
            await asked.ask("SELECT 1", {})
        await asked.close()


@pytest.mark.browser
class TestPage:
    def test_before_the_first_photo_it_says_how_to_publish_one(self, database, sight):
        database.workers()

        def empty():
            assert sight.state("wall") == "empty"
            assert "safelight publish" in sight.panel("wall").inner_text()
            assert sight.words("totals.photos") == "0"
            assert sight.number("latency.p50") is None

        eventually(empty, within=15)

    def test_shows_what_was_seen(self, database, sight):
        database.workers()
        database.photo("photo 1", [("espresso", 0.91), ("cup", 0.05), ("soup bowl", 0.01), ("plate", 0.001)])

        def seen():
            database.workers()
            print_ = sight.print("photo 1")
            assert print_.locator("h3").inner_text().split() == ["espresso", "91", "%"]
            assert print_.locator("dt").all_inner_texts() == ["cup", "soup bowl"]
            assert print_.locator("img").evaluate("image => image.naturalWidth") == 640
            assert sight.words("totals.photos") == "1"
            assert sight.words("latency.p50").split() == ["2", "s"]
            assert sight.part("store") == ("up", "up")
            assert sight.tab.locator("#pulse").inner_text() == "live"

        eventually(seen, within=20)
        assert sight.faults == []

    def test_says_why_a_photo_was_rejected(self, database, sight):
        database.workers()
        database.dead_letter(
            "cut", reason="damaged_photo", detail="It ends early.", advice="Upload it again.", stage="enrich"
        )
        eventually(
            lambda: text_is(sight.print("cut"), ["Rejected", "damaged photo", "It ends early.", "Upload it again."]),
            within=15,
        )

    def test_names_and_labels_are_words_whatever_they_hold(self, database, sight):
        database.worker("admit")
        database.photo(EVIL, [(EVIL, 0.9), (EVIL, 0.05)], owner_id=EVIL)
        database.dead_letter("x", reason=EVIL, detail=EVIL, advice=EVIL, object_uri=EVIL)

        def as_text():
            wall = sight.panel("wall")
            assert wall.locator("h3").inner_text().startswith(EVIL)
            assert wall.locator("img").evaluate("image => image.naturalWidth") == 640
            assert EVIL in sight.panel("dead_letters_latest").inner_text()

        eventually(as_text, within=15)
        assert sight.tab.locator("img[src=x]").count() == 0
        assert sight.tab.title() == "safelight"
        assert sight.faults == []

    def test_a_photo_that_cannot_be_read_leaves_a_quiet_place(self, database, sight):
        database.worker("admit")
        database.photo("gone", [("espresso", 0.9)], object_uri=(database.objects / "gone.jpg").as_uri())
        eventually(lambda: width_is(sight.print("gone"), 320), within=15)
        assert sight.faults == []

    def test_a_silent_worker_is_said_to_be_silent(self, database, sight):
        database.workers(at=now() - timedelta(seconds=40))

        def silent():
            for agent in ("admit", "group", "store"):
                database.worker(agent)
            assert sight.part("enrich")[0] == "down"
            assert "not heard for" in sight.part("enrich")[1]
            assert sight.part("store") == ("up", "up")

        eventually(silent, within=15, every=0.3)

    def test_data_that_is_not_new_says_its_age(self, database, sight):
        database.photo("p", [("espresso", 0.9)], stored_at=now() - timedelta(seconds=45))
        database.workers(at=now() - timedelta(seconds=45))

        def old():
            assert sight.state("totals") == sight.state("wall") == sight.state("throughput") == "stale"
            assert re.search(r"\d\d s old", sight.panel("wall").inner_text())
            assert "No worker has been heard of" in sight.banner()
            assert "safelight up" in sight.banner()

        eventually(old, within=15)
        database.workers()
        eventually(lambda: state_is(sight, "wall", "fresh"), within=15)

    def test_what_the_stack_runs_is_listed_with_its_state(self, database, sight):
        database.workers()
        began = now().isoformat(timespec="seconds")
        servers = [
            ServerStatus("kafka", 1, "127.0.0.1:9092", began, 0, healthy=True, last_exit_code=None),
            ServerStatus("triton", 2, "127.0.0.1:8001", began, 0, healthy=False, last_exit_code=None),
            ServerStatus("enrich", None, "", None, 2, healthy=False, last_exit_code=137),
            ServerStatus("store", 4, "", began, 1, healthy=True, last_exit_code=1),
        ]
        with only_stack(database.settings.data):
            publish(database.settings.data, servers)

            def listed():
                database.workers()
                assert re.fullmatch(r"up \d+ s", sight.part("kafka")[1])
                assert sight.part("triton") == ("silent", "does not answer")
                assert sight.part("enrich") == ("down", "stopped, exit code 137")
                assert sight.part("store")[1].endswith(", restarted once")

            eventually(listed, within=15)

    def test_the_span_is_chosen_by_keyboard_and_survives_a_reload(self, database, sight):
        database.worker("admit")
        database.photo("p", [("espresso", 0.9)], stored_at=now() - timedelta(minutes=30))
        eventually(lambda: state_is(sight, "latency", "empty"), within=15)
        sight.tab.locator("input[value='300']").focus()
        sight.tab.keyboard.press("ArrowRight")
        eventually(lambda: state_is(sight, "latency", "fresh"), within=15)
        sight.tab.reload()
        assert sight.tab.locator("input[value='3600']").is_checked()

    def test_all_dead_letters_are_a_click_away(self, database, sight):
        database.worker("admit")
        for number in range(9):
            database.dead_letter(f"p{number}", reason="not_a_photo", detail="Text.", advice="Send a photo.")
        rows = sight.panel("dead_letters_latest").locator("tbody tr")
        eventually(lambda: count_is(rows, 6), within=15)
        sight.tab.get_by_role("button", name="Show all 9").click()
        assert rows.count() == 9


@pytest.mark.browser
class TestLook:
    @pytest.mark.parametrize("scheme", ["dark", "light"])
    def test_words_stand_out_from_the_ground(self, database, page, browser, scheme):
        database.workers()
        database.photo("p", [("espresso", 0.9), ("cup", 0.1)])
        database.dead_letter("cut", reason="damaged_photo", detail="It ends early.", advice="Upload it again.")
        context = browser.new_context(color_scheme=scheme)
        sight = Sight(context, page)
        eventually(lambda: state_is(sight, "wall", "fresh"), within=15)
        weak = sight.tab.evaluate(WEAK_WORDS)
        context.close()
        assert weak == []

    @pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
    def test_fits_the_screen(self, database, page, browser, width):
        database.workers()
        database.photo("p" * 64, [("long " * 12, 0.9), ("word" * 12, 0.1)])
        database.dead_letter(
            "cut", reason="damaged_photo", detail="x" * 200, advice="Upload it again.", object_uri="y" * 200
        )
        context = browser.new_context(viewport={"width": width, "height": 800})
        sight = Sight(context, page)
        eventually(lambda: state_is(sight, "wall", "fresh"), within=15)
        wide = sight.tab.evaluate("document.documentElement.scrollWidth")
        context.close()
        assert wide <= width

    def test_nothing_moves_for_who_asked_for_rest(self, database, page, browser):
        database.workers()
        context = browser.new_context(reduced_motion="reduce")
        sight = Sight(context, page)
        eventually(lambda: text_is(sight.tab.locator("#pulse"), ["live"]), within=15)
        moving = sight.tab.evaluate("document.getAnimations().length")
        context.close()
        assert moving == 0


@pytest.mark.browser
def test_clickhouse_away_and_back(tmp_path, browser):
    server = ClickHouse(tmp_path / "clickhouse", port=0)
    server.start()
    try:
        database = Database(server.url, tmp_path)
        database.workers()
        database.photo("p", [("espresso", 0.9)])
        with serving(database.settings) as url:
            context = browser.new_context()
            sight = Sight(context, url)
            eventually(lambda: state_is(sight, "wall", "fresh"), within=15)
            server.stop()

            def away():
                assert "ClickHouse is unavailable" in sight.banner()
                assert "start it" in sight.banner()
                assert sight.state("wall") == "stale"
                assert sight.print("p").count() == 1

            eventually(away, within=30)
            server.start()

            def back():
                database.workers()
                assert not sight.tab.locator("#banner").is_visible()
                assert sight.state("wall") == "fresh"

            eventually(back, within=30, every=0.3)
            context.close()
    finally:
        server.stop()


@pytest.mark.browser
def test_the_pages_own_server_away(database, browser):
    database.workers()
    with serving(database.settings) as url:
        context = browser.new_context()
        sight = Sight(context, url)
        eventually(lambda: text_is(sight.tab.locator("#pulse"), ["live"]), within=15)

    def away():
        assert "server of this page does not answer" in sight.banner()
        assert "safelight up" in sight.banner()

    eventually(away, within=15)
    context.close()


def test_a_busy_port_is_said_in_one_line(page):
    port = page.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "ops.page", "--port", port], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "choose another --port" in done.stderr


def test_a_photo_of_nobody_is_not_found(page):
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{page}/photo?owner=nobody&photo=nothing")


def state_is(sight, panel, state):
    assert sight.state(panel) == state


def count_is(locator, count):
    assert locator.count() == count


def width_is(print_, width):
    assert print_.locator("img").evaluate("image => image.naturalWidth") == width


def text_is(locator, texts):
    assert locator.count() == 1
    words = locator.inner_text()
    assert [text for text in texts if text not in words] == []


# Every visible text whose contrast to what is painted behind it is under WCAG's 4.5 (large text: 3).
WEAK_WORDS = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = numbers(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest(".skip, .unseen, noscript, script")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(numbers(style.color)), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) weak.push(`${walker.currentNode.data.trim()}: ${ratio.toFixed(2)}`);
  }
  return weak;
}"""
