"""enrich: one outcome a photo, whatever happens to the others."""

import asyncio
import hashlib
import threading
from datetime import timedelta

import pytest

from agents.enrich import Seen, enrich, open_look
from agents.photo.decoders import Limits
from agents.photo.facts import Facts
from agents.photo.pdq import Pdq
from agents.vision.model import Frame
from schemas import codec, metrics
from schemas.errors import Reason, Rejected, StrangeWorld
from schemas.events import Camera, Label, ModelResult, PhotoEnriched, PhotoRejected, Root
from schemas.topics import ADMITTED, ENRICHED
from tests.support.batches import Counted, batch
from tests.support.bombs import flat
from tests.support.builders import NOON, admitted, vector
from tests.support.eventually import eventually
from tests.support.object_server import object_server

pytestmark = pytest.mark.unit

LATER = NOON + timedelta(seconds=2)
FACTS = Facts(
    media_type="image/webp",
    width=600,
    height=400,
    frame=Frame(300, 200),
    pdq=Pdq(bytes(32), 77),
    sharpness=1.5,
    camera=Camera(make="Canon"),
)
SEEN = Seen(
    FACTS,
    [ModelResult(model="m", version="1", labels=[Label("cup", 0.5)], embedding=vector(1.0, 0.0))],
    ["other"],
)


class Nothing:
    """A state in which nothing was ever committed."""

    def get_many(self, keys):
        return [None] * len(keys)


async def enriching(*photos, look, measure=None):
    result = await enrich(
        batch(ADMITTED, *photos), Nothing(), look=look, version="9.9", clock=lambda: LATER, measure=measure or Counted()
    )
    assert result.changes == {}
    assert all(output.topic is ENRICHED for output in result.outputs)
    assert all(output.key == output.event.owner_id.encode() for output in result.outputs)
    return [output.event for output in result.outputs]


async def sees(_photo):
    return SEEN


async def test_what_was_seen_is_told_with_all_that_was_known():
    photo = admitted(root=Root(2, 3, 4), attempt=5, fill=6)
    [outcome] = await enriching(photo, look=sees)
    kept = {name: value for name, value in vars(photo).items() if name != "media_type"}
    assert kept.items() <= vars(outcome).items()
    assert (outcome.width, outcome.height, outcome.media_type) == (600, 400, "image/webp")
    assert (outcome.models, outcome.missing) == (SEEN.models, SEEN.missing)
    assert (outcome.enriched_at, outcome.worker_version) == (LATER, "9.9")
    assert codec.decode(codec.encode(outcome), PhotoEnriched) == outcome


async def test_a_reject_is_an_outcome_with_all_that_was_known():
    async def look(_photo):
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

    async def look(photo):
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

    async def look(photo):
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

    async def look(_photo):
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
            await look(admitted(object_uri="s3://elsewhere/a.jpg"))
        with pytest.raises(Rejected, match="object_missing"):
            await look(admitted(object_uri=f"{tmp_path.as_uri()}/a.jpg"))


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
                await look(photo)
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
                return look(admitted(object_uri=f"{root.url}/a.jpg", size_bytes=4, content_sha256=digest))

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
