"""A bug in the work: the third run rejects the one record on which it fails, and works on every other once."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Producer

from ops.database import database
from ops.prepare import prepare_database
from schemas import codec
from schemas.errors import Unavailable
from schemas.events import Metric, PhotoAdmitted, PhotoRejected, PhotoUploaded, Root
from schemas.topics import ADMIT_CHANGELOG, ADMITTED, ENRICHED, EVENTS, METRICS
from streams import provision
from streams.producer import PhotoProducer
from tests.integration.engine_flows import CULPRIT, FLOWS
from tests.integration.engine_reading import records
from tests.integration.engine_workers import Worker, lag
from tests.support.builders import admitted, uploaded
from tests.support.eventually import eventually

pytestmark = pytest.mark.integration

PHOTOS = 60
SIZES = (40, 25, 50)
"""Records of a batch, in each run: bounds differ, and the culprit is found all the same."""


def run_to_the_end(settings, agent):
    """Start a worker after another until one has nothing left to do and stops; how many ended by themselves, and the last's log."""
    for ended, size in enumerate(SIZES):
        worker = Worker(settings, agent, batch_records=size)
        try:

            def over(worker=worker):
                try:
                    assert worker.ended or lag(settings, FLOWS[agent]) == 0
                except Unavailable as busy:
                    raise AssertionError(busy.detail) from busy

            eventually(over, within=90, every=0.3)
            if not worker.ended:
                assert worker.stop() == 0, worker.log.read_text()
                return ended
            assert worker.wait() == 1
            said = worker.log.read_text()
            assert "KeyError at tests/integration/engine_flows.py:" in said
            assert "owner-" not in said
        finally:
            worker.kill()
    raise AssertionError(f"it ended by itself {len(SIZES)} times")


def internal_errors(settings):
    metrics = [codec.decode(message.value(), Metric) for message in records(settings, METRICS)]
    return Counter(
        {metric.labels["topic"]: metric.value for metric in metrics if metric.name == "photos_internal_errors_total"}
    )


def test_an_agent_s_bug_rejects_the_one_record_it_fails_on(settings):
    provision.ensure(settings)
    with PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:
        for number in range(PHOTOS):  # of one owner: all in one partition
            event_id = CULPRIT if number == 20 else str(number)
            producer.publish(uploaded(event_id=event_id, owner_id="owner-1", content_sha256=bytes([number]) * 32))
    assert run_to_the_end(settings, "faulty") == 2
    events = [codec.decode(message.value(), PhotoUploaded).event_id for message in records(settings, EVENTS)]
    taken = [codec.decode(message.value(), PhotoAdmitted).event_id for message in records(settings, ADMITTED)]
    assert sorted(taken) == sorted(set(events) - {CULPRIT})
    [rejected] = [codec.decode(message.value(), PhotoRejected) for message in records(settings, ENRICHED)]
    assert (rejected.event_id, rejected.reason) == (CULPRIT, "internal_error")
    assert rejected.detail.startswith("KeyError at tests/integration/engine_flows.py:")
    assert len(list(records(settings, ADMIT_CHANGELOG))) == PHOTOS - 1
    assert internal_errors(settings) == {"photos.events": 1}


def test_a_sink_s_bug_makes_the_one_record_it_fails_on_a_rejection(clickhouse_settings):
    settings = clickhouse_settings
    provision.ensure(settings)
    prepare_database(settings)
    began = datetime.now(UTC) - timedelta(minutes=10)
    producer = Producer({"bootstrap.servers": settings.brokers})
    for number in range(PHOTOS):
        event = admitted(
            event_id=CULPRIT if number == 20 else str(number),
            root=Root(1, 0, number),
            uploaded_at=began,
            admitted_at=began + timedelta(seconds=number),
        )
        producer.produce(settings.topic(ADMITTED), codec.encode(event), b"key", 0)
    assert producer.flush(30) == 0
    assert run_to_the_end(settings, "faulty_outcomes") == 2
    with database(settings) as client:
        rows = client.query("SELECT root_offset, outcome, reason FROM photo_outcomes ORDER BY root_offset").result_rows
        by_minute = client.query("SELECT sum(photos) FROM photo_outcomes_by_minute").result_rows
    assert rows == [
        (number, "rejected", "internal_error") if number == 20 else (number, "enriched", "") for number in range(PHOTOS)
    ]
    assert by_minute == [(PHOTOS,)]
    assert internal_errors(settings) == {"photos.admitted": 1}
