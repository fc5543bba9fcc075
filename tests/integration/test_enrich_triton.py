"""enrich with a real Triton: what it sees is what the reference sees, and an outage costs time, not photos."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agents.enrich import enrich
from agents.look import open_look
from ops.stack.triton import Triton
from schemas import metrics
from schemas.events import PhotoEnriched, PhotoRejected
from schemas.topics import ADMITTED
from tests.support.batches import Counted, batch
from tests.support.builders import admitted
from tests.support.reference_picture import documented
from tests.support.reference_sight import Sight, difference, scene_label

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).parents[2] / "ops" / "samples"
PHOTOS = (
    "astronaut.jpg",
    "chelsea.png",
    "china-copy.jpg",
    "china.jpg",
    "coffee.jpg",
    "flower.jpg",
    "hubble.jpg",
    "rocket.jpg",
)
NO_PHOTOS = {"cut-short.jpg": "damaged_photo", "not-a-photo.jpg": "not_a_photo"}


class Nothing:
    """A state in which nothing was ever committed."""

    def get_many(self, keys):
        return [None] * len(keys)


def described(path, **fields):
    """The file as an upload service would describe it."""
    content = path.read_bytes()
    of_file = {
        "photo_id": path.name,
        "object_uri": path.as_uri(),
        "size_bytes": len(content),
        "content_sha256": hashlib.sha256(content).digest(),
    }
    return admitted(**(of_file | fields))


def looking(server, *, root=SAMPLES, measure=None):
    return open_look(
        object_roots=[root.as_uri()],
        max_object_bytes=50 << 20,
        triton=server.grpc,
        models=["scene_label"],
        measure=measure or Counted(),
    )


async def outcomes_of(look, *photos):
    result = await enrich(
        batch(ADMITTED, *photos),
        Nothing(),
        look=look,
        keep=timedelta(days=7),
        version="0.1.0",
        clock=lambda: datetime.now(UTC),
        measure=Counted(),
    )
    return {output.event.photo_id: output.event for output in result.outputs}


def agrees(outcome, path, *, swapped=False):
    """With a reference, to which `swapped` shows the photo blue for red."""
    [seen] = outcome.models
    labels = [(label.name, label.score) for label in seen.labels]
    sight = Sight(labels, embedding=np.frombuffer(seen.embedding, "<f4"))
    return difference(sight, scene_label(documented(path, 256), swapped=swapped)) <= 1e-3


@pytest.fixture
async def outcomes(triton):
    """Of every sample, in one batch."""
    async with looking(triton) as look:
        return await outcomes_of(look, *(described(SAMPLES / name) for name in (*PHOTOS, *NO_PHOTOS)))


async def test_every_sample_is_seen_as_the_reference_sees_it_and_no_other_way(outcomes):
    for name in PHOTOS:
        outcome = outcomes[name]
        assert isinstance(outcome, PhotoEnriched)
        assert agrees(outcome, SAMPLES / name), name
        assert not agrees(outcome, SAMPLES / name, swapped=True), name
    assert {
        name: outcome.reason for name, outcome in outcomes.items() if isinstance(outcome, PhotoRejected)
    } == NO_PHOTOS


async def test_sizes_are_those_of_the_photo_as_it_is_shown(outcomes):
    sizes = {
        name: (outcomes[name].width, outcomes[name].height) for name in ("coffee.jpg", "chelsea.png", "hubble.jpg")
    }
    assert sizes == {"coffee.jpg": (600, 400), "chelsea.png": (451, 300), "hubble.jpg": (1000, 872)}


async def test_a_large_photo_is_decoded_small_and_seen_the_same(triton, tmp_path):
    with Image.open(SAMPLES / "flower.jpg") as image:
        image.resize((3000, 2001), Image.Resampling.LANCZOS).save(tmp_path / "large.jpg", quality=92)
    async with looking(triton, root=tmp_path) as look:
        outcomes = await outcomes_of(look, described(tmp_path / "large.jpg"))
    assert (outcomes["large.jpg"].width, outcomes["large.jpg"].height) == (3000, 2001)
    assert agrees(outcomes["large.jpg"], tmp_path / "large.jpg")


def another(folder, name, number):
    """The sample as another content, which looks the same: with a number behind its end."""
    path = folder / f"{name} {number}"
    path.write_bytes((SAMPLES / name).read_bytes() + str(number).encode())
    return described(path)


async def test_more_photos_than_triton_takes_at_once_are_each_seen_as_themselves(triton, tmp_path):
    names = ("coffee.jpg", "chelsea.png", "china.jpg")
    photos = [another(tmp_path, name, n) for n in range(20) for name in names]
    measure = Counted()
    async with looking(triton, root=tmp_path, measure=measure) as look:
        outcomes = await outcomes_of(look, *photos)
    top = {name: {outcomes[f"{name} {n}"].models[0].labels[0].name for n in range(20)} for name in names}
    assert top == {"coffee.jpg": {"espresso"}, "chelsea.png": {"tiger cat"}, "china.jpg": {"palace"}}
    assert sum(name == metrics.INFERENCE.name for name, *_ in measure.observed) == 60


@pytest.fixture
def own(tmp_path):
    """A server that its test may stop."""
    server = Triton(tmp_path / "triton", models=["scene_label"])
    server.start()
    yield server
    server.stop()


async def test_while_triton_is_away_photos_wait_and_none_is_rejected(own, caplog):
    caplog.set_level("INFO", "agents.retry")
    measure = Counted()
    photos = [described(SAMPLES / name, photo_id=f"{name} {n}") for n in range(8) for name in PHOTOS]
    async with looking(own, measure=measure) as look:
        assert len(await outcomes_of(look, photos[0])) == 1

        await asyncio.to_thread(own.stop)
        waiting = asyncio.create_task(outcomes_of(look, *photos))
        while not any("scene_label is unavailable" in message for message in caplog.messages):
            assert not waiting.done()
            await asyncio.sleep(0.02)
        await asyncio.to_thread(own.start)
        # Far below gRPC's own back-off of up to two minutes, and above ours of ten seconds.
        outcomes = await asyncio.wait_for(waiting, 60)

    assert len(outcomes) == len(photos)
    assert all(isinstance(outcome, PhotoEnriched) and outcome.models for outcome in outcomes.values())
    assert any("scene_label answers again" in message for message in caplog.messages)
    assert measure.counts[(metrics.WAITED.name, ("dependency", "triton: scene_label"))] > 0


async def test_a_batch_that_waits_for_triton_can_be_cancelled(tmp_path):
    gone = Triton(tmp_path / "triton")  # never started: nobody listens there
    async with looking(gone) as look:
        waiting = asyncio.create_task(outcomes_of(look, described(SAMPLES / "coffee.jpg")))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 5)
