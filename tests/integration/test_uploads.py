"""Single records of photos.events, by their place."""

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from ops.stack.ports import free_port
from ops.uploads import Uploads
from schemas import codec
from schemas.errors import Unavailable
from schemas.events import PhotoUploaded
from schemas.topics import EVENTS
from streams import provision
from streams.producer import PhotoProducer
from streams.settings import Settings
from tests.support.builders import uploaded

pytestmark = pytest.mark.integration

RECORDS = 3000


@pytest.fixture
def log(settings):
    """Settings of a broker whose photos.events has records of one partition, and the partition's number."""
    settings = settings.model_copy(update={"partitions": 1})
    provision.ensure(settings)
    with PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:
        for number in range(RECORDS):
            producer.publish(uploaded(event_id=str(number)))
    return settings


def numbers(settings, *offsets):
    with Uploads(settings) as uploads:
        values = [uploads.at(0, offset) for offset in offsets]
    return [None if value is None else int(codec.decode(value, PhotoUploaded).event_id) for value in values]


@pytest.mark.parametrize(
    "offsets",
    [
        (0, 1, 2, 500, 501, 2999),  # near by and far
        (2999, 0, 1500, 1499, 1499, 1500),  # in no order, and twice
    ],
)
def test_each_place_has_its_record(log, offsets):
    assert numbers(log, *offsets) == list(offsets)


def test_what_is_gone_or_not_there_yet_is_none_and_the_rest_goes_on(log):
    admin = AdminClient({"bootstrap.servers": log.brokers})
    for future in admin.delete_records([TopicPartition(log.topic(EVENTS), 0, 1000)]).values():
        future.result()
    assert numbers(log, 0, 999, 1000, -1, RECORDS, 1002, 5_000_000) == [None, None, 1000, None, None, 1002, None]


def test_what_goes_while_it_is_read_is_none_too(log):
    with Uploads(log) as uploads:
        assert uploads.at(0, 0) is not None
        admin = AdminClient({"bootstrap.servers": log.brokers})
        for future in admin.delete_records([TopicPartition(log.topic(EVENTS), 0, 2500)]).values():
            future.result()
        assert uploads.at(0, 2000) is None
        assert uploads.at(0, 2600) is not None


def test_without_a_broker_it_is_unavailable(tmp_path):
    nobody = Settings(brokers=f"127.0.0.1:{free_port()}", data=tmp_path)
    with Uploads(nobody) as uploads, pytest.raises(Unavailable):
        uploads.at(0, 0)
