"""The broker's configuration, and who counts as it."""

import socket
import struct
from contextlib import contextmanager
from threading import Thread

import pytest

from ops.stack.kafka import Kafka, Seat, in_service
from ops.stack.kafka_jars import JAR_COUNT
from ops.stack.ports import free_port
from ops.stack.process import StackError

pytestmark = pytest.mark.unit

OURS = b"0123456789abcdef012345"


@contextmanager
def answering(answer):
    """Somebody who answers every connection with `answer(port)`; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                connection, _ = server.accept()
                with connection:
                    if not connection.recv(1024):
                        return  # our own word that it is over
                    connection.sendall(answer(server.getsockname()[1]))

        thread = Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            socket.create_connection(server.getsockname()).close()
            thread.join()


def metadata(ports, cluster):
    """A Metadata response (v4) about no topic, of brokers on the loopback address."""
    brokers = [struct.pack(">ih9sih", number, 9, b"127.0.0.1", port, -1) for number, port in enumerate(ports, 1)]
    body = struct.pack(">iii", 1, 0, len(brokers)) + b"".join(brokers)
    body += struct.pack(">h", len(cluster)) + cluster + struct.pack(">ii", 1, 0)
    return struct.pack(">i", len(body)) + body


@pytest.mark.parametrize("others", [[], [1, 2]], ids=["alone", "one of three"])
def test_a_broker_in_service_of_our_cluster_counts(others):
    with answering(lambda port: metadata([*others, port], OURS)) as port:
        assert in_service(port, OURS)


@pytest.mark.parametrize(
    "answer",
    [
        lambda port: metadata([port], b"somebody-elses-cluster"),
        lambda port: metadata([], OURS),
        lambda port: metadata([1, 2], OURS),
        lambda port: b"HTTP/1.1 400 Bad Request\r\n\r\n",
        lambda port: b"\x00",
        lambda port: b"",
    ],
    ids=[
        "another cluster",
        "not in service yet",
        "not in service of its cluster yet",
        "no broker at all",
        "half an answer",
        "no answer",
    ],
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


def test_a_broker_with_a_seat_has_its_ports_and_knows_every_controller(tmp_path):
    broker = Kafka(tmp_path, seat=Seat(2, 9002, {1: 9011, 2: 9012, 3: 9013}, "c"))
    written = configuration(broker, tmp_path)
    assert written["node.id"] == "2"
    assert written["listeners"] == "PLAINTEXT://127.0.0.1:9002,CONTROLLER://127.0.0.1:9012"
    assert written["controller.quorum.voters"] == "1@127.0.0.1:9011,2@127.0.0.1:9012,3@127.0.0.1:9013"
    assert broker.bootstrap == "127.0.0.1:9002"


def test_damaged_data_is_told_with_what_to_do(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").write_text("version=1\n")
    with pytest.raises(StackError, match=r"meta\.properties is damaged: .*--fresh"):
        Kafka(tmp_path).start()


def test_the_lock_has_all_jars():
    assert JAR_COUNT == 45
