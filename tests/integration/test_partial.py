"""A part that is away: the rest goes on, says what is missing, and is made whole once when it is back, through kills too."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tritonclient.grpc import InferenceServerClient

from ops.database import database
from ops.prepare import prepare_database
from ops.publish import Uploader, find_photos
from ops.stack.triton import Triton
from schemas.topics import EVENTS
from streams import provision
from streams.producer import PhotoProducer
from streams.settings import Settings
from tests.support.backbone import SAMPLES, new_owner
from tests.support.eventually import eventually
from tests.support.providers import namespace
from tests.support.variables import variables

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

AGENTS = ("admit", "enrich", "resume", "group", "store")
NAMES = ("astronaut.jpg", "china.jpg", "coffee.jpg", "flower.jpg", "rocket.jpg")
PHOTOS = len(NAMES)
MODELS = ("scene_label", "face_detect")


class Road:
    """Every agent as a process, over servers of which parts can be taken away."""

    def __init__(self, settings, triton):
        self.settings = settings
        self.triton = triton
        self._workers = {}

    def start(self, *agents):
        for agent in agents:
            self._workers[agent] = subprocess.Popen(
                [sys.executable, "-m", "ops", "worker", agent], env=os.environ | variables(self.settings)
            )

    def kill(self, *agents):
        for agent in agents:
            self._workers[agent].kill()
            self._workers[agent].wait()

    def stop(self):
        for worker in self._workers.values():
            worker.send_signal(signal.SIGTERM)
        for worker in self._workers.values():
            worker.wait(30)

    @contextmanager
    def asleep(self, agent):
        self._workers[agent].send_signal(signal.SIGSTOP)
        yield
        self._workers[agent].send_signal(signal.SIGCONT)

    def publish(self, root=0):
        """Some samples, as contents that nobody has seen (what is known is never missing), for a new owner."""
        owner = new_owner()
        root = self.settings.object_roots[root]
        topic = self.settings.topic(EVENTS)
        with PhotoProducer(self.settings.brokers, topic=topic) as producer, TemporaryDirectory() as folder:
            for name in NAMES:
                Path(folder, name).write_bytes((SAMPLES / name).read_bytes() + os.urandom(16))
            uploader = Uploader(root=root, owner_id=owner, source="test", producer=producer)
            for file in find_photos([Path(folder)]).photos:
                uploader.upload(file)
        return owner

    def query(self, sql, **parameters):
        with database(self.settings) as client:
            return client.query(sql, parameters).result_rows

    def wait_for(self, owner, missing, within=120):
        """Until every photo of the owner is there, and lacks these models."""

        def there():
            rows = self.query("SELECT missing FROM photos WHERE owner_id = {owner:String}", owner=owner)
            assert [row for (row,) in rows] == [list(missing)] * PHOTOS

        eventually(there, within=within, every=0.5)

    def told(self, owner):
        """Every stored look at the owner's photos: how many there are of each kind, in the order of their fills."""
        return self.query(TOLD, owner=owner)

    @contextmanager
    def model_away(self, name):
        with closing(InferenceServerClient(self.triton.grpc)) as client:
            client.unload_model(name)
            yield
            client.load_model(name)


TOLD = """
SELECT stamp, outcome, count() FROM photo_outcomes
WHERE (root_partition, root_offset) IN
    (SELECT root_partition, root_offset FROM photo_enrichments WHERE owner_id = {owner:String})
GROUP BY 1, 2 ORDER BY min(fill)
"""


@pytest.fixture(scope="module")
def road(kafka, clickhouse, tmp_path_factory):
    folder = tmp_path_factory.mktemp("partial")
    roots = [folder / "here", folder / "there"]
    for root in roots:
        root.mkdir()
    triton = Triton(folder / "triton", models=MODELS)
    with ExitStack() as stack:
        stack.callback(triton.stop)
        triton.start()
        settings = Settings(
            brokers=kafka.bootstrap,
            namespace=namespace(),
            partitions=2,
            data=folder / "data",
            hash_key="a key of this test",
            object_roots=[root.as_uri() for root in roots],
            triton=triton.grpc,
            models=MODELS,
            clickhouse_url=clickhouse.url,
        )
        provision.ensure(settings)
        prepare_database(settings)
        it = Road(settings, triton)
        stack.callback(it.stop)
        it.start(*AGENTS)
        yield it


@pytest.mark.parametrize("killed", [(), ("enrich", "resume")], ids=["alive", "killed"])
def test_a_model_that_is_away_is_missing_and_filled_in_once(road, killed):
    with road.model_away("face_detect"):
        owner = road.publish()
        road.wait_for(owner, ["face_detect"])
        assert road.told(owner) == [("first", "partial", PHOTOS)]
        road.kill(*killed)
        road.start(*killed)
    road.wait_for(owner, [])
    assert road.told(owner) == [("first", "partial", PHOTOS), ("filled", "enriched", PHOTOS)]
    of_owner = "FROM photos WHERE owner_id = {owner:String}"
    assert road.query(f"SELECT DISTINCT models.name {of_owner}", owner=owner) == [(list(MODELS),)]
    assert road.query(f"SELECT countIf(has(regions.name, 'face')) {of_owner}", owner=owner) == [(1,)], "the astronaut's"
    assert road.query("SELECT count() FROM dead_letters WHERE owner_id = {owner:String}", owner=owner) == [(0,)]


def test_an_object_root_that_is_away_holds_up_no_other_and_its_photos_come_once(road):
    _, there = (Path(root.removeprefix("file://")) for root in road.settings.object_roots)
    away = there.with_name("away")
    with road.asleep("enrich"):
        owner_there, owner_here = road.publish(root=1), road.publish(root=0)
        there.rename(away)
    road.wait_for(owner_here, [])
    assert road.told(owner_there) == []
    away.rename(there)
    road.wait_for(owner_there, [])
    assert road.told(owner_there) == [("first", "enriched", PHOTOS)]
