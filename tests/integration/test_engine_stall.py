"""What hangs is ended; what waits for a dependency is neither ended nor thrown out of its group, however long it takes."""

import re
import signal
import time

import pytest
from confluent_kafka.admin import AdminClient

from schemas.topics import EVENTS
from streams import provision
from streams.producer import PhotoProducer
from streams.step import Step
from tests.integration.engine_flows import FLOWS
from tests.integration.engine_workers import Worker, wait_done
from tests.support.builders import uploaded
from tests.support.eventually import eventually

pytestmark = pytest.mark.integration

STALL_SECONDS = 3


@pytest.fixture
def start(settings):
    provision.ensure(settings)
    workers = []

    def start(agent, **options):
        workers.append(Worker(settings, agent, **({"stall": STALL_SECONDS} | options)))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


def feed(settings, count=16):
    with PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:
        for number in range(count):  # as many owners: every partition has some
            producer.publish(uploaded(event_id=str(number), owner_id=f"owner-{number}"))


def members(settings, agent):
    admin = AdminClient({"bootstrap.servers": settings.brokers})
    group = settings.group(agent)
    return len(admin.describe_consumer_groups([group], request_timeout=60)[group].result(60).members)


@pytest.mark.parametrize("agent", ["hanging", "looping"])
def test_an_agent_that_hangs_is_ended_with_one_line_that_says_which_partition_and_where(settings, start, agent):
    worker = start(agent)
    worker.wait_ready()
    feed(settings)
    assert worker.wait() == 1
    *_, line = [line for line in worker.log.read_text().splitlines() if "is ready" not in line]
    stuck, _, where = line.partition(": at ")
    assert re.search(rf"ends: {re.escape(settings.topic(EVENTS))}-\d makes no progress for {STALL_SECONDS} s$", stuck)
    assert re.search(rf"> tests/integration/engine_flows\.py:\d+ in {agent}\b", where)
    assert "owner-" not in line


def test_records_that_nobody_fetches_end_a_worker_whose_partition_is_free(settings, start):
    feed(settings)
    worker = start("deaf")
    assert worker.wait() == 1
    *_, line = [line for line in worker.log.read_text().splitlines() if "is ready" not in line]
    assert re.search(r"photos\.events-\d has records from 0 to \d+, and none was fetched for 3 s$", line)


def test_a_log_whose_end_is_a_marker_or_was_aborted_is_read_to_its_end_and_nobody_is_ended(settings, start):
    feed(settings, 200)
    killed = start("dedupe", step=Step.PUBLISHED, number=12, batch_records=10, stall=300)
    assert killed.wait() == -signal.SIGKILL
    publishing = start("dedupe", stall=300)  # aborts what the other has left open
    wait_done(settings)
    assert publishing.stop() == 0
    reading = start("reading", batch_records=7, stall=8)
    reading.wait_ready()
    wait_done(settings, FLOWS["reading"])
    assert outage(settings, reading, "reading", 3 * 8) == {1}
    assert reading.stop() == 0


def outage(settings, worker, agent, seconds):
    """How many members the group was seen with in so long a time, in which nothing is done."""
    seen = set()
    end = time.monotonic() + seconds

    def over():
        assert not worker.ended, worker.log.read_text()
        if time.monotonic() > end - seconds + 1:  # whoever has just joined is a member for sure
            seen.add(members(settings, agent))
        assert time.monotonic() > end

    eventually(over, within=seconds + 10, every=0.3)
    return seen


def test_an_outage_longer_than_every_limit_neither_ends_a_worker_nor_throws_it_out(settings, start):
    worker = start("waiting", session=6)
    worker.wait_ready()
    feed(settings, 200)
    assert outage(settings, worker, "waiting", 4 * STALL_SECONDS) == {1}
    (settings.data.parent / "up").touch()
    wait_done(settings, FLOWS["waiting"])
    assert worker.stop() == 0, worker.log.read_text()


def test_without_a_word_to_aiokafka_it_is_thrown_out(settings, start):
    """The test above can fail: this is what aiokafka does by itself when nobody asks it for records."""
    worker = start("silent", session=6)
    worker.wait_ready()
    feed(settings, 200)

    def out():
        assert members(settings, "silent") == 0

    eventually(out, within=60, every=0.3)
