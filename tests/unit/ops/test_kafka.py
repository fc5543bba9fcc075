"""The broker's configuration, and who counts as it."""

import socket
import struct
from contextlib import contextmanager
from threading import Thread

import pytest

from ops.stack.kafka import Kafka, in_service
from ops.stack.kafka_jars import JAR_COUNT
from ops.stack.ports import free_port
from ops.stack.process import StackError

pytestmark = pytest.mark.unit

OURS = b"0123456789abcdef012345"


@contextmanager
def answering(answer):
    """Somebody who answers every connection with these bytes; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                connection, _ = server.accept()
                with connection:
                    if not connection.recv(1024):
                        return  # our own word that it is over
                    connection.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            socket.create_connection(server.getsockname()).close()
            thread.join()


def metadata(brokers, cluster):
    """The parts of a Metadata response (v4) that are looked at: correlation id, throttle time, number of brokers, …, cluster id."""
    body = struct.pack(">iii", 1, 0, brokers) + b"..." + struct.pack(">h", len(cluster)) + cluster
    return struct.pack(">i", len(body)) + body


def test_a_broker_in_service_of_our_cluster_counts():
    with answering(metadata(1, OURS)) as port:
        assert in_service(port, OURS)


@pytest.mark.parametrize(
    "answer",
    [metadata(1, b"somebody-elses-cluster"), metadata(0, OURS), b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00", b""],
    ids=["another cluster", "not in service yet", "no broker at all", "half an answer", "no answer"],
)
def test_nobody_else_counts(answer):
    with answering(answer) as port:
        assert not in_service(port, OURS)


def test_nobody_at_the_port_is_no_broker():
    assert not in_service(free_port(), OURS)


def test_before_the_first_start_nothing_runs(tmp_path):
    broker = Kafka(tmp_path)
    assert (broker.pid, broker.running(), broker.healthy()) == (None, False, False)
    broker.stop()


def configuration(broker, tmp_path):
    broker._configure(tmp_path / "log")
    return dict(line.split("=", 1) for line in (tmp_path / "server.properties").read_text().splitlines())


def test_ports_stay_the_same_from_start_to_start(tmp_path):
    first = configuration(Kafka(tmp_path), tmp_path)
    again = Kafka(tmp_path)
    assert configuration(again, tmp_path) == first
    assert first["listeners"].startswith(f"PLAINTEXT://{again.bootstrap},CONTROLLER://127.0.0.1:")


def test_another_port_is_taken_when_somebody_has_the_last(tmp_path):
    broker = Kafka(tmp_path)
    configuration(broker, tmp_path)
    before = broker.bootstrap
    with socket.create_server(("127.0.0.1", int(before.partition(":")[2]))):
        configuration(broker, tmp_path)
    assert broker.bootstrap != before


def test_own_properties_come_last(tmp_path):
    broker = Kafka(tmp_path, properties={"num.io.threads": "7", "message.max.bytes": "1"})
    written = configuration(broker, tmp_path)
    assert (written["num.io.threads"], written["message.max.bytes"]) == ("7", "1")
    assert written["offsets.retention.minutes"] == "525600"


def test_damaged_data_is_told_with_what_to_do(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").write_text("version=1\n")
    with pytest.raises(StackError, match=r"meta\.properties is damaged: .*--fresh"):
        Kafka(tmp_path).start()


def test_the_lock_has_all_jars():
    assert JAR_COUNT == 45
