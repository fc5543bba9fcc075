"""A photo in, a row out, every part real."""

import os
import signal
from dataclasses import replace
from hashlib import sha256

import pytest

from ops.stack.status import read_status
from tests.support.backbone import SAMPLES, new_owner
from tests.support.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_every_sample_has_one_outcome(stack):
    events = stack.upload()
    outcomes = dict(stack.wait_for_outcomes(events))
    by_name = {file.name: outcomes[event.photo_id] for file, event in zip(photos(), events, strict=True)}
    assert by_name.pop("cut-short.jpg") == "damaged_photo"
    assert by_name.pop("not-a-photo.jpg") == "not_a_photo"
    assert set(by_name.values()) == {"enriched"}


def test_exact_duplicates_are_a_view_of_the_owner(stack):
    events = stack.upload()
    stack.wait_for_outcomes(events)
    names = {event.photo_id: file.name for file, event in zip(photos(), events, strict=True)}
    rows = stack.query(
        "SELECT photo_ids, copies FROM exact_duplicates WHERE owner_id = {owner:String}", owner=events[0].owner_id
    )
    assert [({names[photo_id] for photo_id in ids}, copies) for ids, copies in rows] == [
        ({"china.jpg", "china-copy.jpg"}, 1)
    ]


def test_bad_events_end_in_the_dead_letters_in_plain_words_and_stop_nobody(stack):
    owner = new_owner()
    before = stack.query("SELECT count() FROM dead_letters WHERE reason = 'unreadable_event'")[0][0]
    with stack.producer() as producer:
        uploader = stack.uploader(producer, owner)
        coffee, cut_short, text, rocket = (
            next(file for file in photos() if file.name == name)
            for name in ("coffee.jpg", "cut-short.jpg", "not-a-photo.jpg", "rocket.jpg")
        )
        right = uploader.event(coffee, coffee.path.read_bytes())
        missing = replace(right, event_id="missing", photo_id="missing", object_uri=right.object_uri + ".gone")
        stack.publish_bytes(b'{"photo": "as JSON"}')
        events = {"damaged_photo": uploader.upload(cut_short), "not_a_photo": uploader.upload(text)}
        events["enriched"] = uploader.upload(rocket)
        uploader.upload(replace(coffee, name="stored.jpg"))
        events["wrong_sha256"] = replace(
            right, event_id="wrong", photo_id="wrong", content_sha256=sha256(b"something else").digest()
        )
        events["object_missing"] = missing
        producer.publish(events["wrong_sha256"])
        producer.publish(missing)

    def all_told():
        outcomes = dict(stack.outcomes(owner))
        assert {reason: outcomes.get(event.photo_id) for reason, event in events.items()} == {r: r for r in events}
        assert stack.query("SELECT count() FROM dead_letters WHERE reason = 'unreadable_event'")[0][0] == before + 1

    eventually(all_told, within=60, every=0.2)
    for reason, detail, advice in stack.query("SELECT reason, detail, advice FROM dead_letters"):
        assert " " in detail, reason
        assert advice.endswith("."), reason


def test_publishing_a_folder_twice_adds_nothing(stack):
    owner = new_owner()
    first = stack.wait_for_outcomes(stack.upload(owner=owner))
    repeats = total(stack, "photos_repeats_total")
    again = stack.upload(owner=owner)
    eventually(
        lambda: assert_at_least(total(stack, "photos_repeats_total"), repeats + len(again)), within=30, every=0.2
    )
    assert stack.outcomes(owner) == first


@pytest.mark.parametrize("agent", ["admit", "enrich", "group", "store"])
def test_a_killed_worker_is_started_again_and_every_photo_arrives_once(stack, agent):
    before = server(stack, agent)
    events = [event for _ in range(3) for event in stack.upload()]
    os.kill(before.pid, signal.SIGKILL)
    events += [event for _ in range(3) for event in stack.upload()]
    outcomes = stack.wait_for_outcomes(events, within=90)
    assert len(outcomes) == len(events)
    assert server(stack, agent).pid != before.pid
    assert server(stack, agent).restarts > before.restarts


def photos():
    from ops.publish import find_photos

    return find_photos([SAMPLES]).photos


def server(stack, name):
    return next(status for status in read_status(stack.embedded.data) if status.name == name)


def total(stack, metric):
    return stack.query("SELECT sum(value) FROM metrics WHERE name = {name:String}", name=metric)[0][0]


def assert_at_least(value, bound):
    assert value >= bound
