import subprocess
import sys
from datetime import timedelta

import pytest

from ops.stack.ports import free_port
from streams.producer import NotPublished, PhotoProducer
from tests.support.builders import uploaded

pytestmark = pytest.mark.unit


@pytest.fixture
def nobody():
    """Brokers that are not there."""
    return f"127.0.0.1:{free_port()}"


def test_what_the_broker_does_not_take_in_time_is_raised_by_flush_with_its_event_id(nobody):
    producer = PhotoProducer(nobody, patience=timedelta(milliseconds=50))
    producer.publish(uploaded(event_id="event-7"))
    with pytest.raises(NotPublished, match="event-7") as raised:
        producer.flush()
    assert raised.value.event_ids == ["event-7"]
    producer.flush()


def test_the_end_of_the_block_raises_too(nobody):
    with pytest.raises(NotPublished), PhotoProducer(nobody, patience=timedelta(milliseconds=50)) as producer:
        producer.publish(uploaded())


def test_an_error_of_the_block_goes_first(nobody):
    def publish_and_fail():
        with PhotoProducer(nobody, patience=timedelta(milliseconds=50)) as producer:
            producer.publish(uploaded())
            raise KeyError("of the caller")

    with pytest.raises(KeyError):
        publish_and_fail()


def test_a_full_buffer_is_waited_for_and_loses_nothing(nobody):
    config = {"queue.buffering.max.messages": 5}
    producer = PhotoProducer(nobody, patience=timedelta(milliseconds=50), config=config)
    failed = []
    for number in range(12):
        while True:
            try:
                producer.publish(uploaded(event_id=str(number)))
            except NotPublished as error:
                failed += error.event_ids
            else:
                break
    with pytest.raises(NotPublished) as raised:
        producer.flush()
    assert sorted(failed + raised.value.event_ids, key=int) == [str(number) for number in range(12)]


def test_an_event_that_does_not_fit_is_refused_at_once(nobody):
    producer = PhotoProducer(nobody)
    with pytest.raises((ValueError, TypeError)):
        producer.publish(uploaded(size_bytes="many"))


def test_many_failures_are_one_readable_line():
    error = NotPublished([str(number) for number in range(100)], "no broker")
    assert str(error) == "100 event(s) not published (0, 1, 2, 3, 4, …): no broker"


def test_it_needs_no_more_than_the_base_install():
    code = (
        "import sys, streams.producer; "
        "print({m.split('.')[0] for m in sys.modules} & {'faust', 'mode', 'aiokafka', 'pydantic', 'rocksdict', 'agents', 'numpy'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
