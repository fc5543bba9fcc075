"""The engine on a real broker: workers as processes of their own, killed, stopped and woken; then every event is accounted for."""

import os
import random
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from schemas import codec
from schemas.events import Metric, PhotoAdmitted, PhotoUploaded
from schemas.topics import ADMIT_CHANGELOG, ADMITTED, EVENTS, METRICS
from streams import provision, topology
from streams.claim import Changelog
from streams.producer import PhotoProducer
from streams.state import Store, restore
from streams.step import Step
from tests.integration.engine_flows import FLOWS
from tests.integration.engine_reading import records
from tests.integration.engine_workers import Worker, lag, wait_done
from tests.support.builders import uploaded
from tests.support.eventually import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def start(settings):
    provision.ensure(settings)
    workers = []

    def start(agent="dedupe", **options):
        workers.append(Worker(settings, agent, **options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


def feed(settings, count, *, seed=1):
    """Upload events, one in ten a repeat of an earlier one."""
    rng = random.Random(seed)
    with PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:
        for i in range(count):
            k = rng.randrange(i) if i and rng.random() < 0.1 else i
            content = sha256(f"{seed}-{k}".encode()).digest()
            producer.publish(uploaded(event_id=f"{seed}-{k}", owner_id=f"owner-{k % 50}", content_sha256=content))


def account(settings):
    """Every event that was uploaded first is admitted once, with its place; the changelog, and what a store makes of it, agree."""
    first = {}
    for message in records(settings, EVENTS):
        event = codec.decode(message.value(), PhotoUploaded)
        first.setdefault(event.event_id, (message.partition(), message.offset()))
    admitted = [codec.decode(message.value(), PhotoAdmitted) for message in records(settings, ADMITTED)]
    places = {event.event_id: (event.root.partition, event.root.offset) for event in admitted}
    assert len(admitted) == len(places), "doubled"
    assert places == first
    changelog = [(m.partition(), m.key().decode(), m.value().decode()) for m in records(settings, ADMIT_CHANGELOG)]
    assert sorted(changelog) == sorted((partition, name, str(offset)) for name, (partition, offset) in first.items())
    return len(first)


def stores(settings, slot="0"):
    """What the workers' local stores hold, opened as they are."""
    (topic_id,) = provision.topic_ids(settings, [ADMIT_CHANGELOG]).values()
    held = {}
    for partition in range(settings.partitions):
        folder = settings.data / "state" / settings.group("dedupe") / slot / f"{settings.topic(EVENTS)}-{partition}"
        name, kept = settings.topic(ADMIT_CHANGELOG), settings.declared(ADMIT_CHANGELOG).retention
        store = Store(folder, Changelog(name, topic_id, partition, ADMIT_CHANGELOG.format, kept))
        assert restore(store, settings.brokers) == 0, "the store had not come to its changelog's end"
        held |= {key.decode(): (partition, int(value)) for key, value in store.items()}
        store.close()
    return held


def test_killed_at_every_boundary_of_a_batch_nothing_is_lost_or_doubled(settings, start):
    feed(settings, 6000)
    for step in (Step.WORKED, Step.BEGUN, Step.PUBLISHED, Step.COMMITTED, Step.APPLIED):
        worker = start(step=step, number=3)
        assert worker.wait() == -signal.SIGKILL, worker.log.read_text()
    assert lag(settings, FLOWS["dedupe"]) > 0, "there was nothing left to lose"
    worker = start()
    wait_done(settings)
    assert worker.stop() == 0, worker.log.read_text()
    assert account(settings) > 5000
    assert len(stores(settings)) == account(settings)


def test_another_worker_takes_over_what_a_killed_one_had(settings, start, tmp_path):
    victim = start(step=Step.PUBLISHED, number=3)
    victim.wait_ready()
    survivor = start(data=str(tmp_path / "other"))
    survivor.wait_ready()
    feed(settings, 4000)
    assert victim.wait() == -signal.SIGKILL
    feed(settings, 1000, seed=2)
    wait_done(settings)
    assert survivor.stop() == 0, survivor.log.read_text()
    assert account(settings) > 4000


def test_sigterm_ends_a_worker_within_half_a_session_and_the_other_goes_on_at_once(settings, start, tmp_path):
    feed(settings, 1000)
    leaving = start(session=10)
    leaving.wait_ready()
    staying = start(data=str(tmp_path / "other"), session=10)
    began = time.monotonic()
    leaving.signal(signal.SIGTERM)
    assert leaving.wait() == 0, leaving.log.read_text()
    assert time.monotonic() - began < 10 / 2
    assert not (settings.data / "run" / "dedupe.ready").exists()
    feed(settings, 1000, seed=2)
    wait_done(settings)
    assert staying.stop() == 0
    account(settings)


def test_a_worker_that_slept_past_its_session_is_fenced_and_ends(settings, start, tmp_path):
    sleeper = start()
    sleeper.wait_ready()
    sleeper.signal(signal.SIGSTOP)
    feed(settings, 1000)
    heir = start(data=str(tmp_path / "other"))
    wait_done(settings)
    sleeper.signal(signal.SIGCONT)
    feed(settings, 1000, seed=2)
    wait_done(settings)
    # It meets the fence in a batch, and ends; or it has nothing to commit, and joins again.
    assert heir.stop() == 0
    wait_done(settings)
    sleeper.stop()
    account(settings)


def test_two_workers_on_one_folder_do_not_share_a_store(settings, start):
    feed(settings, 1000)
    one = start()
    one.wait_ready()
    other = start()
    feed(settings, 1000, seed=2)
    folder = settings.data / "state" / settings.group("dedupe")

    def both_have_some():
        assert all(list(folder.glob(f"{slot}/*/CURRENT")) for slot in "01")

    eventually(both_have_some, within=30)
    wait_done(settings)
    assert one.stop() == other.stop() == 0
    account(settings)


def test_a_missing_topic_is_one_line_that_names_the_command(settings, tmp_path):
    worker = Worker(settings)
    assert worker.wait() == 1
    (line,) = worker.log.read_text().splitlines()
    assert settings.topic(EVENTS) in line
    assert "safelight topics --create" in line


def test_an_error_in_an_agent_ends_the_worker_with_one_line_that_says_where_and_quotes_nobody(settings, start):
    worker = start("broken")
    worker.wait_ready()
    feed(settings, 1)
    assert worker.wait() == 1
    *_, line = [line for line in worker.log.read_text().splitlines() if "is ready" not in line]
    assert "KeyError at tests/integration/engine_flows.py:" in line
    assert "owner-" not in worker.log.read_text()
    assert lag(settings, FLOWS["broken"]) == 1


def test_a_worker_says_how_it_is_doing(settings, start):
    worker = start()
    feed(settings, 100)
    wait_done(settings)

    def published():
        return [codec.decode(message.value(), Metric) for message in records(settings, METRICS)]

    def every_partition_told():
        told = {metric.labels["partition"] for metric in published() if metric.name == "photos_lag_records"}
        assert told == {str(partition) for partition in range(settings.partitions)}

    eventually(every_partition_told, within=20, every=0.2)
    assert worker.stop() == 0
    metrics = published()
    of = {name: [metric for metric in metrics if metric.name == name] for name in {metric.name for metric in metrics}}
    assert sum(metric.value for metric in of["photos_records_total"]) == 100
    assert {metric.value for metric in of["photos_worker_up"]} == {0.0, 1.0}
    assert all(metric.value > 10e6 for metric in of["photos_worker_resident_bytes"])
    assert sum(bucket.count for metric in of["photos_batch_seconds"] for bucket in metric.buckets) > 0
    latest = {metric.labels["partition"]: metric.value for metric in of["photos_lag_records"]}
    assert latest == {str(partition): 0.0 for partition in range(settings.partitions)}


def test_faust_s_own_command_runs_an_agent_too(settings, start):
    environment = {
        "SAFELIGHT_BROKERS": settings.brokers,
        "SAFELIGHT_NAMESPACE": settings.namespace,
        "SAFELIGHT_DATA": str(settings.data),
        "SAFELIGHT_HASH_KEY": "a key",
    }
    feed(settings, 10)
    command = ["faust", "-A", "streams.app:admit", "worker", "-l", "info"]
    worker = subprocess.Popen(
        [Path(sys.executable).parent / command[0], *command[1:]],
        env=os.environ | environment,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_done(settings, topology.FLOWS["admit"])
    finally:
        worker.terminate()
        said = worker.communicate(timeout=30)[0].decode()
    assert worker.returncode == 0, said
    assert lag(settings, topology.FLOWS["admit"]) == 0
