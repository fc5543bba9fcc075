import threading

import pytest

from schemas.events import Bucket
from schemas.metrics import ADMITTED, BATCHES, LAG, RECORDS, RESIDENT, UP, bucket_of
from streams.telemetry import Telemetry, resident_bytes, timed
from tests.support.builders import NOON

pytestmark = pytest.mark.unit


@pytest.fixture
def published():
    return []


@pytest.fixture
def telemetry(published):
    return Telemetry(
        agent="admit", worker="admit-host-7", publish=published.append, clock=lambda: NOON, resident=lambda: 123
    )


def of(published, metric):
    return [each for each in published if each.name == metric.name]


def test_counters_add_up_over_an_interval_by_their_labels(telemetry, published):
    telemetry.count(RECORDS, 3, topic="a")
    telemetry.count(RECORDS, 4, topic="a")
    telemetry.count(RECORDS, topic="b")
    telemetry.count(ADMITTED)
    telemetry.report()
    assert {metric.labels["topic"]: metric.value for metric in of(published, RECORDS)} == {"a": 7.0, "b": 1.0}
    (admitted,) = of(published, ADMITTED)
    assert (admitted.agent, admitted.worker, admitted.at, admitted.value) == ("admit", "admit-host-7", NOON, 1.0)
    published.clear()
    telemetry.report()
    assert of(published, RECORDS) == []


def test_a_histogram_is_its_sum_and_sparse_buckets(telemetry, published):
    for seconds in (0.0, 0.25, 0.25, 3.0):
        telemetry.observe(BATCHES, seconds, topic="a")
    telemetry.report()
    (metric,) = of(published, BATCHES)
    assert metric.value == pytest.approx(3.5)
    assert metric.buckets == [Bucket(0, 1), Bucket(bucket_of(0.25), 2), Bucket(bucket_of(3.0), 1)]


def test_a_gauge_is_its_last_value_and_is_gone_when_nobody_sets_it(telemetry, published):
    telemetry.set(LAG, 9, topic="a", partition="1")
    telemetry.set(LAG, 7, topic="a", partition="1")
    telemetry.report()
    (metric,) = of(published, LAG)
    assert (metric.value, metric.labels, metric.buckets) == (7.0, {"topic": "a", "partition": "1"}, [])
    published.clear()
    telemetry.report()
    assert of(published, LAG) == []


def test_a_worker_says_that_it_is_up_what_it_holds_and_when_it_goes(telemetry, published):
    telemetry.report()
    telemetry.report(up=False)
    assert [metric.value for metric in of(published, UP)] == [1.0, 0.0]
    assert [metric.value for metric in of(published, RESIDENT)] == [123.0, 123.0]


def test_nothing_is_lost_between_threads(telemetry, published):
    def many():
        for _ in range(2000):
            telemetry.count(ADMITTED)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        telemetry.report()
    for thread in threads:
        thread.join()
    telemetry.report()
    assert sum(metric.value for metric in of(published, ADMITTED)) == 8000


def test_timed_observes_what_ends_well(telemetry, published):
    with timed(telemetry, BATCHES, topic="a"):
        pass
    with pytest.raises(ValueError, match="no"), timed(telemetry, BATCHES, topic="a"):
        raise ValueError("no")
    telemetry.report()
    (metric,) = of(published, BATCHES)
    assert sum(bucket.count for bucket in metric.buckets) == 1


def test_this_process_holds_memory():
    assert resident_bytes() > 1 << 20
