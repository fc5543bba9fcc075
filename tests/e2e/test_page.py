"""The page over the whole running stack: each number against one that was computed in another way, and what it says of faults.

Where the page asks ClickHouse's rollups and views, the test reads Kafka's topics, or raw rows, and counts in Python.
Set SAFELIGHT_SCREENSHOT to a path to keep the picture that the README shows.
"""

import json
import math
import os
import shutil
import signal
from collections import Counter, defaultdict
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from PIL import Image

from ops.stack.status import read_status
from ops.tail import Tail
from schemas import topics
from schemas.events import DeadLetter, Metric, PhotoGrouped
from tests.support.backbone import SAMPLES, new_owner
from tests.support.browser import chromium
from tests.support.eventually import eventually
from tests.support.page import Sight

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

SEVEN = ("astronaut.jpg", "chelsea.png", "china.jpg", "coffee.jpg", "flower.jpg", "hubble.jpg", "rocket.jpg")
POINT_SECONDS = 5
"""Between two points of a chart over five minutes."""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def sight(stack, browser):
    context = browser.new_context(viewport={"width": 1440, "height": 1080}, color_scheme="dark")
    sight = Sight(context, stack.page_url)
    yield sight
    context.close()
    assert sight.elsewhere == []


@pytest.fixture
def seven(tmp_path):
    """A folder of seven photos, no two alike."""
    folder = tmp_path / "seven"
    folder.mkdir()
    for name in SEVEN:
        shutil.copy(SAMPLES / name, folder)
    return folder


def totals_by_kafka(stack):
    """The large numbers about the library, counted from the topics that store reads."""
    library, dead = {}, sum(1 for _ in Tail(stack.settings, topics.DEAD_LETTER, from_beginning=True).events(DeadLetter))
    for grouped in Tail(stack.settings, topics.GROUPED, from_beginning=True).events(PhotoGrouped):
        if grouped.enriched:
            library[grouped.owner_id, grouped.photo_id] = grouped.enriched.content_sha256
        else:
            dead += 1
    contents = {(owner, digest) for (owner, _), digest in library.items()}
    return {"photos": len(library), "exact_duplicates": len(library) - len(contents), "dead_letters": dead}


def outcomes_by_interval(stack):
    """First outcomes of the last minutes, by the interval in which the broker appended them: (outcome, latency in seconds)."""
    found = defaultdict(list)
    for at, outcome, latency in stack.query(
        "SELECT toUnixTimestamp64Milli(at), outcome, toUnixTimestamp64Milli(stored_at) - toUnixTimestamp64Milli(uploaded_at) "
        "FROM photo_outcomes WHERE stamp = 'first'"
    ):
        found[at // 1000 // POINT_SECONDS * POINT_SECONDS].append((outcome, max(latency, 0) / 1000))
    return found


def measured(stack, name):
    """What workers published of one metric, from Kafka: by agent and interval."""
    found = defaultdict(lambda: defaultdict(list))
    for metric in Tail(stack.settings, topics.METRICS, from_beginning=True).events(Metric):
        if metric.name == name:
            interval = int(metric.at.timestamp()) // POINT_SECONDS * POINT_SECONDS
            found[metric.agent][interval].append(metric)
    return found


def test_totals_are_what_kafka_holds(stack, sight):
    stack.wait_for_outcomes(stack.upload())

    def equal():
        wanted = totals_by_kafka(stack)
        assert sight.value("totals") == wanted
        assert {name: sight.number(f"totals.{name}") for name in wanted} == wanted
        assert sight.words("totals.photos") == f"{wanted['photos']:,}"
        assert wanted["exact_duplicates"] >= 1
        assert wanted["dead_letters"] >= 2

    eventually(equal, within=30, every=0.3)
    assert sight.faults == []


def test_throughput_and_latency_are_those_of_the_rows(stack, sight, seven):
    owner = new_owner()

    def moving():
        # Published until it is seen: the page shows the last whole interval, so for a few seconds only.
        (seven / f"{len(list(seven.iterdir()))}.jpg").write_bytes((SAMPLES / "rocket.jpg").read_bytes())
        stack.upload([seven], owner=owner)
        shown, at = sight.reading("throughput")
        counted = Counter(outcome for outcome, _ in outcomes_by_interval(stack)[at])
        assert counted["enriched"] > 0
        assert shown == {
            name: pytest.approx(counted[name] / POINT_SECONDS) for name in ("enriched", "partial", "rejected")
        }
        assert sight.number("throughput.now") == pytest.approx(sum(shown.values()))

    eventually(moving, within=60, every=0.5)

    def latency():
        shown, at = sight.reading("latency")
        seconds = sorted(latency for _, latency in outcomes_by_interval(stack)[at])
        assert shown["p50"] == pytest.approx(seconds[math.floor(0.5 * len(seconds))])
        assert shown["p99"] == pytest.approx(seconds[math.floor(0.99 * len(seconds))])
        assert sight.number("latency.p50") == shown["p50"]

    eventually(latency, within=30, every=0.5)


def test_dead_letters_of_the_span_are_counted_by_reason(stack, sight):
    stack.wait_for_outcomes(stack.upload())

    def equal():
        rows = stack.query("SELECT reason FROM dead_letters WHERE rejected_at > now('UTC') - 270")
        shown = sight.value("dead_letters")
        counted = Counter(reason for (reason,) in rows)
        assert counted["damaged_photo"] >= 1
        # What is a moment older than this span may be in the page's last answer still.
        assert all(shown[reason] >= number for reason, number in counted.items())
        assert sum(shown.values()) <= len(
            stack.query("SELECT reason FROM dead_letters WHERE rejected_at > now('UTC') - 330")
        )

    eventually(equal, within=30, every=0.3)


def test_charts_of_the_workers_are_what_they_published(stack, sight):
    stack.wait_for_outcomes(stack.upload())
    eventually(lambda: state_is(sight, "lag", "fresh"), within=20)

    def equal():
        lag, records = panel(stack, "lag"), panel(stack, "records")
        lags, counts = measured(stack, "photos_lag_records"), measured(stack, "photos_records_total")
        whole = {t for t, *_ in lag["rows"] if t + POINT_SECONDS < lag["asked_at"] - 5}  # store has had them all
        assert len(whole) >= 2
        for t, agent, value in lag["rows"]:
            if t in whole:
                last = {tuple(sorted(m.labels.items())): m.value for m in sorted(lags[agent][t], key=lambda m: m.at)}
                assert value == sum(last.values()), (agent, t)
        for t, agent, value in records["rows"]:
            if t in whole:
                assert value == pytest.approx(sum(m.value for m in counts[agent][t]) / POINT_SECONDS), (agent, t)
        shown, at = sight.reading("lag")
        assert at >= max(whole)
        assert set(shown) >= {"admit", "enrich", "group", "store"}
        assert sight.number("lag.now") == pytest.approx(sum(shown.values()))

    eventually(equal, within=40, every=0.5)


def test_seven_more_photos_move_the_totals_by_seven_and_are_on_the_wall(stack, sight, seven):
    stack.wait_for_outcomes(stack.upload())
    eventually(lambda: totals_are(sight, totals_by_kafka(stack)), within=30, every=0.3)
    before = sight.value("totals")
    owner = new_owner()
    events = stack.upload([seven], owner=owner)
    stack.wait_for_outcomes(events)
    eventually(lambda: totals_are(sight, before | {"photos": before["photos"] + 7}), within=20)

    seen = dict(
        stack.query(
            "SELECT photo_id, arrayFilter((label, model) -> model != 'unsafe', arrayZip(labels.name, labels.score), labels.model) "
            "FROM photos WHERE owner_id = {owner:String}",
            owner=owner,
        )
    )
    assert len(seen) == 7

    def on_the_wall():
        for photo_id, labels in seen.items():
            best, score = max(labels, key=lambda label: label[1])
            head = sight.print(photo_id).locator("h3").inner_text()
            assert " ".join(head.split()) == f"{best} {round(score * 100)} %"
            assert sight.print(photo_id).locator("img").evaluate("image => image.complete && image.naturalWidth") >= 400

    eventually(on_the_wall, within=30, every=0.3)
    assert sight.faults == []


def test_rejected_photos_are_on_the_wall_with_their_reason(stack, sight, tmp_path):
    events = stack.upload()
    outcomes = dict(stack.wait_for_outcomes(events))
    rejected = {photo_id: reason for photo_id, reason in outcomes.items() if reason != "enriched"}
    details = {
        photo_id: why
        for event in events
        for photo_id, *why in stack.query(
            "SELECT photo_id, detail, advice FROM dead_letters WHERE photo_id = {photo:String}", photo=event.photo_id
        )
    }
    assert set(rejected.values()) == {"damaged_photo", "not_a_photo"}

    def on_the_wall():
        for photo_id, reason in rejected.items():
            words = sight.print(photo_id).inner_text()
            assert [
                said for said in ("Rejected", reason.replace("_", " "), *details[photo_id]) if said not in words
            ] == []

    eventually(on_the_wall, within=30, every=0.3)
    picture = Path(os.environ.get("SAFELIGHT_SCREENSHOT", tmp_path / "page.png"))
    sight.tab.evaluate(
        "Promise.all(document.getAnimations().filter(a => a.effect.getTiming().iterations === 1).map(a => a.finished))"
    )
    sight.tab.screenshot(path=picture)
    assert len(Image.open(picture).convert("RGB").getcolors(2**24)) > 5_000  # photos, not a blank sheet


def test_every_part_of_the_stack_is_said_to_run(stack, sight):
    def up():
        for server in read_status(stack.settings.data):
            state, words = sight.part(server.name)
            assert (state, words[:3]) == ("up", "up "), server.name

    eventually(up, within=30, every=0.3)


def test_a_worker_that_hangs_is_said_to_be_silent_and_one_that_died_to_be_restarted(stack, sight):
    with frozen(pid_of(stack, "group")):
        eventually(lambda: part_says(sight, "group", "silent", "silent for"), within=30)
        assert sight.part("store")[0] == "up"
    before = restarts_of(stack, "admit")
    os.kill(pid_of(stack, "admit"), signal.SIGKILL)
    times = "once" if before == 0 else f"{before + 1} times"
    eventually(lambda: part_says(sight, "admit", "up", f"restarted {times}"), within=60)
    eventually(lambda: part_says(sight, "group", "up", "up "), within=60)


def test_an_outage_of_clickhouse_is_said_and_what_was_seen_stays(stack, sight):
    eventually(lambda: state_is(sight, "wall", "fresh"), within=30)
    photos = sight.value("wall")
    with frozen(stack.embedded.clickhouse.pid):

        def said():
            assert "ClickHouse is unavailable" in sight.banner()
            assert sight.state("wall") == sight.state("throughput") == "stale"
            assert sight.tab.locator("#pulse").inner_text() == "not up to date"
            assert sight.value("wall") == photos

        eventually(said, within=25)

    def back():
        assert not sight.tab.locator("#banner").is_visible()
        assert sight.state("wall") == "fresh"

    eventually(back, within=90)


def panel(stack, name):
    with urlopen(f"{stack.page_url}/panel/{name}?seconds=300") as answer:
        return json.load(answer)


def pid_of(stack, name):
    return next(server.pid for server in read_status(stack.settings.data) if server.name == name)


def restarts_of(stack, name):
    return next(server.restarts for server in read_status(stack.settings.data) if server.name == name)


@contextmanager
def frozen(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def pictures_are_there(sight):
    assert sight.tab.evaluate("[...document.images].slice(0, 12).every(image => image.complete && image.naturalWidth)")


def state_is(sight, panel_name, state):
    assert sight.state(panel_name) == state


def totals_are(sight, totals):
    assert sight.value("totals") == totals


def part_says(sight, name, state, words):
    assert sight.part(name)[0] == state
    assert words in sight.part(name)[1]
