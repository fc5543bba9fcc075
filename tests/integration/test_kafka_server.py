"""The embedded broker: it keeps what it acknowledged, its ports and its place, whatever ends it."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from ops.stack.kafka import Kafka, in_service
from tests.support.eventually import eventually

pytestmark = pytest.mark.integration

TOPIC = "kept"


@pytest.fixture
def broker(tmp_path):
    """A broker of this test's own, which it may kill."""
    it = Kafka(tmp_path / "kafka")
    it.start()
    yield it
    it.stop()


def create(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(20)


def produce(bootstrap, values):
    """Each acknowledged, or the test fails."""
    failed = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for value in values:
        producer.produce(TOPIC, value, on_delivery=lambda error, _: error and failed.append(error))
    assert producer.flush(20) == 0
    assert failed == []


def consume(bootstrap, count):
    options = {"bootstrap.servers": bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"}
    consumer = Consumer({**options, "enable.auto.commit": False})
    try:
        consumer.subscribe([TOPIC])
        return [message.value() for message in consumer.consume(count, 20) if not message.error()]
    finally:
        consumer.close()


def producer(bootstrap, name):
    return Producer({"bootstrap.servers": bootstrap, "transactional.id": f"producer-{name}", "log_level": 0})


@contextmanager
def transactions(bootstrap, *, producers):
    """One after another from each producer, until the end, or until the broker does not answer."""
    over = threading.Event()

    def run(name):
        with suppress(KafkaException):
            it = producer(bootstrap, name)
            it.init_transactions(20)
            while not over.is_set():
                it.begin_transaction()
                it.produce(TOPIC, b"")
                it.commit_transaction(2)

    threads = [threading.Thread(target=run, args=(name,)) for name in range(producers)]
    for thread in threads:
        thread.start()
    yield
    over.set()
    for thread in threads:
        thread.join()


def end(bootstrap, isolation):
    """Where a reader of this isolation comes to an end."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "end", "isolation.level": isolation})
    try:
        return consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), 20)[1]
    finally:
        consumer.close()


def values(count):
    return [b"%d" % number for number in range(count)]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_is_produced_is_consumed(broker):
    create(broker.bootstrap)
    produce(broker.bootstrap, values(100))
    assert consume(broker.bootstrap, 100) == values(100)


def test_what_was_acknowledged_before_a_kill_is_served_on_the_same_port_after_it(broker):
    create(broker.bootstrap)
    produce(broker.bootstrap, values(100))
    before = broker.bootstrap
    os.kill(broker.pid, signal.SIGKILL)
    eventually(lambda: _(not broker.running()))
    assert not broker.healthy()
    broker.start()
    assert broker.bootstrap == before
    assert consume(before, 100) == values(100)


def test_it_dies_with_the_python_that_started_it_and_its_successor_has_its_records(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from ops.stack.kafka import Kafka;"
        "broker = Kafka(Path(sys.argv[1])); broker.start(); print(broker.bootstrap, broker.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    ) as python:
        try:
            bootstrap, pid = python.stdout.readline().split()
            create(bootstrap)
            produce(bootstrap, values(10))
        finally:
            python.kill()
    successor = Kafka(tmp_path)
    successor.start()
    try:
        assert not alive(int(pid))
        assert successor.bootstrap == bootstrap
        assert consume(bootstrap, 10) == values(10)
    finally:
        successor.stop()


def test_a_broker_that_stood_still_is_not_given_up(broker, tmp_path):
    os.kill(broker.pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(broker.pid, signal.SIGCONT)
    eventually(lambda: _(broker.healthy()))
    assert "Fencing broker" not in (tmp_path / "kafka" / "kafka.log").read_text()


def test_a_killed_broker_is_given_up_before_its_successor_begins(broker, tmp_path):
    log = tmp_path / "kafka" / "kafka.log"
    before = len(log.read_text())
    os.kill(broker.pid, signal.SIGKILL)
    eventually(lambda: _(not broker.running()))
    broker.start()
    told = re.findall("Fencing broker|Kafka Server started", log.read_text()[before:])
    assert sorted(told) == ["Fencing broker", "Kafka Server started", "Kafka Server started"]
    assert told[-1] == "Kafka Server started"


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_no_transaction_is_left_half_done(broker, number):
    create(broker.bootstrap)
    with transactions(broker.bootstrap, producers=8):
        time.sleep(2)
        os.kill(broker.pid, number)
        time.sleep(3)
    if number == signal.SIGSTOP:
        os.kill(broker.pid, signal.SIGCONT)
    else:
        eventually(lambda: _(not broker.running()))
        broker.start()
    for name in range(8):
        producer(broker.bootstrap, name).init_transactions(20)
    committed, all_there = (end(broker.bootstrap, isolation) for isolation in ("read_committed", "read_uncommitted"))
    assert committed == all_there > 0


def test_a_broker_that_hangs_is_running_but_not_healthy(broker):
    os.kill(broker.pid, signal.SIGSTOP)
    assert broker.running()
    assert not broker.healthy()
    os.kill(broker.pid, signal.SIGCONT)
    eventually(lambda: _(broker.healthy()))


def test_only_its_own_cluster_counts(broker):
    port = int(broker.bootstrap.partition(":")[2])
    assert in_service(port, broker._cluster_id)
    assert not in_service(port, b"0123456789abcdef012345")


def test_nothing_is_left_after_a_stop(broker):
    pid = broker.pid
    port = int(broker.bootstrap.partition(":")[2])
    broker.stop()
    broker.stop()
    assert not broker.running()
    assert not alive(pid)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_positions_are_kept_for_a_year(broker):
    resource = ConfigResource(ConfigResource.Type.BROKER, "1")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    described = admin.describe_configs([resource])[resource].result(20)
    assert described["offsets.retention.minutes"].value == str(365 * 24 * 60)


def test_it_listens_on_the_loopback_address_alone(broker):
    listening = [
        each.laddr for each in psutil.Process(broker.pid).net_connections() if each.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == 2
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def _(truth):
    assert truth
