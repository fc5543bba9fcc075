"""enrich: one outcome a photo, whatever happens to the others."""

import asyncio
import dataclasses
import hashlib
import threading
from datetime import timedelta

import pytest

from agents.enrich import Away, Content, Seen, enrich
from agents.look import open_look
from agents.photo.decoders import Limits
from schemas import codec, metrics
from schemas.errors import Reason, Rejected, StrangeWorld
from schemas.events import Camera, Label, ModelResult, PhotoEnriched, PhotoRejected, PhotoSeen, PhotoWaiting, Root
from schemas.topics import ADMITTED, ENRICHED, WAITING
from tests.support.batches import Counted, batch
from tests.support.bombs import flat
from tests.support.builders import NOON, admitted, vector
from tests.support.eventually import eventually
from tests.support.object_server import object_server

pytestmark = pytest.mark.unit

LATER = NOON + timedelta(seconds=2)
CONTENT = PhotoSeen(
    seen_at=NOON,
    media_type="image/webp",
    width=600,
    height=400,
    pdq=bytes(32),
    pdq_quality=77,
    sharpness=1.5,
    camera=Camera(make="Canon"),
    models=[ModelResult(model="m", version="1", labels=[Label("cup", 0.5)], embedding=vector(1.0, 0.0))],
)
SEEN = Seen(CONTENT, CONTENT.models)


class Nothing:
    """A state in which nothing was ever committed."""

    def get_many(self, keys):
        return [None] * len(keys)


async def enriched(*photos, look, measure=None, state=None, keep=timedelta(days=7)):
    return await enrich(
        batch(ADMITTED, *photos),
        state or Nothing(),
        look=look,
        keep=keep,
        version="9.9",
        clock=lambda: LATER,
        measure=measure or Counted(),
    )


async def enriching(*photos, look, measure=None):
    result = await enriched(*photos, look=look, measure=measure)
    assert result.changes == {}
    assert all(output.topic is ENRICHED for output in result.outputs)
    assert all(output.key == output.event.owner_id.encode() for output in result.outputs)
    return [output.event for output in result.outputs]


async def sees(_photo, _content):
    return SEEN


async def test_what_was_seen_is_told_with_all_that_was_known():
    photo = admitted(root=Root(2, 3, 4), attempt=5, fill=6)
    [outcome] = await enriching(photo, look=sees)
    kept = {name: value for name, value in vars(photo).items() if name != "media_type"}
    assert kept.items() <= vars(outcome).items()
    assert (outcome.width, outcome.height, outcome.media_type) == (600, 400, "image/webp")
    assert (outcome.models, outcome.missing) == (SEEN.models, [])
    assert (outcome.enriched_at, outcome.worker_version) == (LATER, "9.9")
    assert codec.decode(codec.encode(outcome), PhotoEnriched) == outcome


async def test_a_reject_is_an_outcome_with_all_that_was_known():
    async def look(_photo, _content):
        raise Rejected(Reason.OBJECT_MISSING, "there is no object")

    measure = Counted()
    photo = admitted(root=Root(2, 3, 4), attempt=5, fill=6)
    [outcome] = await enriching(photo, look=look, measure=measure)
    kept = {name: value for name, value in vars(photo).items() if name not in ("media_type", "admitted_at")}
    assert kept.items() <= vars(outcome).items()
    assert (outcome.stage, outcome.reason, outcome.detail) == ("enrich", "object_missing", "there is no object")
    assert (outcome.rejected_at, outcome.worker_version) == (LATER, "9.9")
    assert codec.decode(codec.encode(outcome), PhotoRejected) == outcome
    assert measure.counts == {(metrics.REJECTED.name, ("reason", "object_missing")): 1}


async def test_photos_are_looked_at_together_and_come_out_in_order():
    inside = 0
    everybody = asyncio.Event()

    async def look(photo, _content):
        nonlocal inside
        inside += 1
        if inside == 20:
            everybody.set()
        await everybody.wait()
        if int(photo.photo_id) % 3 == 0:
            raise Rejected(Reason.NOT_A_PHOTO, "text")
        return SEEN

    outcomes = await enriching(*(admitted(photo_id=str(n)) for n in range(20)), look=look)
    assert [outcome.photo_id for outcome in outcomes] == [str(n) for n in range(20)]
    assert [type(outcome) is PhotoRejected for outcome in outcomes] == [n % 3 == 0 for n in range(20)]


async def test_a_bug_is_raised_as_it_is_and_leaves_no_photo_behind():
    ended = []

    async def look(photo, _content):
        if photo.photo_id == "bad":
            raise ZeroDivisionError
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(photo.photo_id)

    with pytest.raises(ZeroDivisionError):
        await enriching(admitted(), admitted(photo_id="bad"), look=look)
    assert ended == ["photo-1"]


async def test_it_ends_at_once_when_cancelled():
    waiting = asyncio.Event()

    async def look(_photo, _content):
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(enriching(admitted(), look=look))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("models", [["scene_label", "crystal_ball"], []])
async def test_a_model_that_nobody_knows_is_told_with_those_that_there_are(models, tmp_path):
    with pytest.raises(StrangeWorld, match=r"SAFELIGHT_MODELS.*scene_label"):
        async with open_look(
            object_roots=[tmp_path.as_uri()], max_object_bytes=1, triton="127.0.0.1:9", models=models, measure=Counted()
        ):
            pass


async def test_a_look_opens_and_closes_without_a_server(tmp_path):
    async with open_look(
        object_roots=[tmp_path.as_uri()],
        max_object_bytes=1,
        triton="127.0.0.1:9",
        models=["scene_label"],
        measure=Counted(),
    ) as look:
        with pytest.raises(Rejected, match="object_not_allowed"):
            await look(admitted(object_uri="s3://elsewhere/a.jpg"), Content(NOON))
        with pytest.raises(Rejected, match="object_missing"):
            await look(admitted(object_uri=f"{tmp_path.as_uri()}/a.jpg"), Content(NOON))


async def test_an_object_store_that_is_down_is_waited_for_and_the_photo_is_not_to_blame():
    measure = Counted()
    with object_server(b"text") as web:
        web.statuses["/photos/a.jpg"] = [503, 429, 500, 200]
        async with open_look(
            object_roots=[web.url],
            private_roots=[web.url],
            max_object_bytes=100,
            triton="127.0.0.1:9",
            models=["scene_label"],
            measure=measure,
        ) as look:
            photo = admitted(
                object_uri=f"{web.url}/a.jpg", size_bytes=4, content_sha256=hashlib.sha256(b"text").digest()
            )
            with pytest.raises(Rejected, match="not_a_photo"):
                await look(photo, Content(NOON))
        assert len(web.asked) == 4
    assert measure.counts[(metrics.WAITED.name, ("dependency", web.url))] > 0


async def test_a_photo_that_its_decoder_does_not_survive_is_rejected_and_hurts_no_other(tmp_path):
    bomb = flat("PNG")
    (tmp_path / "bomb.png").write_bytes(bomb)
    (tmp_path / "text.jpg").write_bytes(b"text")
    photos = [
        admitted(
            object_uri=f"{tmp_path.as_uri()}/{name}",
            size_bytes=len(content),
            content_sha256=hashlib.sha256(content).digest(),
        )
        for name, content in (("text.jpg", b"text"), ("bomb.png", bomb), ("text.jpg", b"text"))
    ]
    async with open_look(
        object_roots=[tmp_path.as_uri()],
        max_object_bytes=len(bomb),
        triton="127.0.0.1:9",
        models=["scene_label"],
        measure=Counted(),
        decoders=1,
        limits=Limits(memory_bytes=200 << 20),
    ) as look:
        outcomes = await enriching(*photos, look=look)
    assert [outcome.reason for outcome in outcomes] == ["not_a_photo", "object_too_large", "not_a_photo"]
    assert outcomes[1].detail == "decoder ran out of memory"


async def test_a_root_that_is_down_is_waited_for_and_holds_up_no_other():
    measure = Counted()
    with object_server(b"text") as down, object_server(b"text") as up:
        down.statuses["/photos/a.jpg"] = 503
        async with open_look(
            object_roots=[down.url, up.url],
            private_roots=[down.url, up.url],
            max_object_bytes=100,
            triton="127.0.0.1:9",
            models=["scene_label"],
            measure=measure,
        ) as look:

            def looking(root):
                digest = hashlib.sha256(b"text").digest()
                return look(
                    admitted(object_uri=f"{root.url}/a.jpg", size_bytes=4, content_sha256=digest), Content(NOON)
                )

            def waits():
                assert measure.counts.get((metrics.WAITED.name, ("dependency", down.url)), 0) > 0

            waiting = [asyncio.create_task(looking(down)) for _ in range(20)]
            await asyncio.to_thread(eventually, waits)
            for _ in range(20):
                with pytest.raises(Rejected, match="not_a_photo"):
                    await looking(up)
            assert not any(task.done() for task in waiting)
            down.statuses.clear()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [outcome.reason for outcome in outcomes] == [Reason.NOT_A_PHOTO] * 20
    assert (metrics.WAITED.name, ("dependency", up.url)) not in measure.counts


@pytest.mark.parametrize(("announced", "together"), [(300 << 20, False), (5, True)])
async def test_only_so_many_bytes_are_held_at_once_by_what_events_announce(announced, together):
    with object_server(b"text") as web:
        web.company = threading.Barrier(2)
        async with open_look(
            object_roots=[web.url],
            private_roots=[web.url],
            max_object_bytes=400 << 20,
            triton="127.0.0.1:9",
            models=["scene_label"],
            measure=Counted(),
        ) as look:
            photos = [
                admitted(
                    object_uri=f"{web.url}/{n}.jpg",
                    size_bytes=announced,
                    content_sha256=hashlib.sha256(b"text").digest(),
                )
                for n in range(2)
            ]
            outcomes = await enriching(*photos, look=look)
    assert [outcome.reason for outcome in outcomes] == [Reason.INVALID_EVENT] * 2
    assert (len(web.met) == 2) is together


# What is known


class Looking:
    """A look that knows whom it asked, and whose models can be away."""

    def __init__(self, *models):
        self.models = models
        self.asked = []
        self.away = set()
        self.rejects = set()

    async def __call__(self, photo, content):
        await asyncio.sleep(0)
        async with content.turn:
            if photo.photo_id in self.rejects:
                raise Rejected(Reason.DAMAGED_PHOTO, "torn")
            known = content.known or dataclasses.replace(CONTENT, seen_at=content.at, models=[])
            have = {result.model for result in known.models}
            wanted = [model for model in self.models if model not in have | self.away]
            self.asked += [(photo.photo_id, model) for model in wanted]
            found = [ModelResult(model=model, version="1") for model in wanted]
            if found or not content.known:
                content.known = dataclasses.replace(known, models=[*known.models, *found])
            have = {result.model for result in content.known.models}
            missing = [f"model:{model}" for model in self.models if model not in have]
            return Seen(content.known, content.known.models, missing)


class Remembered(dict):
    """A partition's state."""

    def get_many(self, keys):
        return [self.get(key) for key in keys]


async def test_a_content_is_looked_at_once_in_a_batch_and_remembered():
    look, state = Looking("m"), Remembered()
    photos = [admitted(photo_id=str(n), owner_id=f"owner-{n}", content_sha256=bytes([n % 2] * 32)) for n in range(6)]
    result = await enriched(*photos, look=look)
    assert look.asked == [("0", "m"), ("1", "m")]
    assert [output.event.photo_id for output in result.outputs] == list("012345")
    state.update(result.changes)
    since = [codec.decode(state[bytes([n] * 32)], PhotoSeen).seen_at for n in range(2)]
    assert since == [NOON, NOON + timedelta(milliseconds=1)], "when Kafka had the first of each"
    again = await enriched(*photos, look=look, state=state)
    assert len(look.asked) == 2
    assert again.changes == {}
    assert [output.event for output in again.outputs] == [output.event for output in result.outputs]


async def test_what_is_known_serves_for_its_time_and_no_longer():
    look = Looking("m")
    first = await enriched(admitted(), look=look)
    week = timedelta(days=7)
    [(key, value)] = first.changes.items()
    old = codec.encode(dataclasses.replace(codec.decode(value, PhotoSeen), seen_at=NOON - week))
    result = await enriched(admitted(), look=look, state=Remembered({key: old}), keep=week)
    assert len(look.asked) == 2
    assert codec.decode(result.changes[key], PhotoSeen).seen_at == NOON


async def test_a_reject_is_not_remembered_and_the_next_of_the_content_is_looked_at():
    look = Looking("m")
    look.rejects.add("0")
    result = await enriched(*(admitted(photo_id=str(n)) for n in range(2)), look=look)
    assert [type(output.event) for output in result.outputs] == [PhotoRejected, PhotoEnriched]
    assert look.asked == [("1", "m")]
    assert len(result.changes) == 1


async def test_what_is_missing_is_said_and_the_photo_waits_for_it():
    look, measure = Looking("m", "n"), Counted()
    look.away.add("n")
    photo = admitted(fill=3)
    result = await enriched(photo, look=look, measure=measure)
    partial, waiting = (output.event for output in result.outputs)
    assert [output.topic for output in result.outputs] == [ENRICHED, WAITING]
    assert ([each.model for each in partial.models], partial.missing, partial.fill) == (["m"], ["n"], 3)
    assert waiting == PhotoWaiting(photo=photo, dependencies=["model:n"], since=LATER, seen=True)
    assert measure.counts == {(metrics.PARKED.name, ("dependency", "model:n")): 1}
    look.away.clear()
    result = await enriched(dataclasses.replace(photo, fill=4), look=look, state=Remembered(result.changes))
    [whole] = (output.event for output in result.outputs)
    assert ([each.model for each in whole.models], whole.missing, whole.fill) == (["m", "n"], [], 4)
    assert look.asked == [("photo-1", "m"), ("photo-1", "n")]


async def test_a_photo_of_which_nothing_could_be_seen_waits_without_an_outcome():
    async def look(_photo, _content):
        raise Away("root:s3://photos")

    result = await enriched(admitted(), look=look)
    [waiting] = result.outputs
    assert (waiting.topic, waiting.key) == (WAITING, admitted().content_sha256)
    assert waiting.event == PhotoWaiting(photo=admitted(), dependencies=["root:s3://photos"], since=LATER, seen=False)
    assert result.changes == {}
