"""resume: what waits comes back when what it waits for does, and is given up after a long time."""

import dataclasses
from datetime import timedelta

import pytest

from agents.enrich import MODEL, ROOT
from agents.resume import open_back, resume
from schemas import metrics
from schemas.events import PhotoRejected, PhotoWaiting
from schemas.topics import ADMITTED, ENRICHED, WAITING
from tests.support.batches import Counted, batch
from tests.support.builders import NOON, admitted

pytestmark = pytest.mark.unit

PATIENCE = timedelta(days=3)


class Time:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


class Back:
    """Dependencies that come back after so many seconds."""

    def __init__(self, time, **after):
        self.time, self.after, self.asked = time, after, []

    async def __call__(self, dependency, photo):
        self.asked.append(dependency)
        return self.time.now >= self.after[dependency]


def waiting(n, *dependencies, seen=True, since=NOON, fill=0):
    photo = admitted(photo_id=str(n), content_sha256=bytes([n] * 32), fill=fill)
    return PhotoWaiting(photo=photo, dependencies=list(dependencies), since=since, seen=seen)


async def resuming(*photos, at=NOON, measure=None, **after):
    time = Time()
    back = Back(time, **after)
    result = await resume(
        batch(WAITING, *photos),
        None,
        back=back,
        patience=PATIENCE,
        version="9.9",
        clock=lambda: at,
        measure=measure or Counted(),
        sleep=time.sleep,
        monotonic=time.monotonic,
    )
    assert result.changes == {}
    return result.outputs, back


async def test_what_is_back_returns_and_the_rest_waits_on():
    measure = Counted()
    photos = [waiting(0, "a"), waiting(1, "b"), waiting(2, "a", "b", fill=6), waiting(3, "b", seen=False)]
    outputs, back = await resuming(*photos, measure=measure, a=0, b=1000)
    assert [output.topic for output in outputs] == [ADMITTED, WAITING, ADMITTED, WAITING]
    assert [output.key for output in outputs] == [photo.photo.content_sha256 for photo in photos]
    assert outputs[0].event == dataclasses.replace(photos[0].photo, fill=1)
    assert outputs[2].event == dataclasses.replace(photos[2].photo, fill=7)
    assert [outputs[1].event, outputs[3].event] == [photos[1], photos[3]]
    assert sorted(back.asked) == ["a", "b"], "each once, and no time has passed"
    assert measure.counts == {(metrics.RESUMED.name,): 2}


async def test_while_nothing_is_back_reading_stops_for_a_minute_at_most():
    outputs, back = await resuming(waiting(0, "a"), a=40)
    assert (outputs[0].topic, back.time.now) == (ADMITTED, 40)
    outputs, back = await resuming(waiting(0, "a"), a=1000)
    assert (outputs[0].topic, back.time.now) == (WAITING, 60)


async def test_after_a_long_time_a_photo_waits_no_longer():
    measure = Counted()
    seen, unseen, younger = (
        waiting(0, "a"),
        waiting(1, "b", seen=False),
        waiting(2, "a", since=NOON + timedelta(days=1)),
    )
    outputs, _ = await resuming(seen, unseen, younger, at=NOON + PATIENCE, measure=measure, a=1000, b=0)
    rejected, waits = (output.event for output in outputs)
    assert [output.topic for output in outputs] == [ENRICHED, WAITING]
    assert isinstance(rejected, PhotoRejected)
    assert (rejected.photo_id, rejected.stage, rejected.reason) == ("1", "resume", "never_seen")
    assert rejected.detail == "b stayed away for 3 days, 0:00:00"
    assert waits == younger
    assert measure.counts == {(metrics.REJECTED.name, ("reason", "never_seen")): 1}


async def test_a_root_is_asked_for_the_photo_and_what_is_configured_no_longer_is_not_waited_for(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    async with open_back(
        object_roots=[root.as_uri()],
        max_object_bytes=10,
        triton="127.0.0.1:9",
        models=["scene_label"],
        measure=Counted(),
    ) as back:
        here, gone = admitted(object_uri=f"{root.as_uri()}/a.jpg"), f"{ROOT}{root.as_uri()}"
        assert await back(gone, here), "that one object is missing is for enrich to say"
        (root / "a.jpg").write_bytes(b"text")
        assert await back(gone, here)
        root.rename(tmp_path / "away")
        assert not await back(gone, here)
        assert await back(f"{ROOT}file:///elsewhere", here)
        assert await back(f"{MODEL}crystal_ball", here)
        assert not await back(f"{MODEL}scene_label", here)
