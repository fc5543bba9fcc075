"""The configuration of brokers that form one cluster."""

import pytest

from ops.stack.kafka_cluster import KafkaCluster

pytestmark = pytest.mark.unit


@pytest.fixture
def written(tmp_path):
    """The cluster, and each broker's configuration."""
    cluster = KafkaCluster(tmp_path)
    found = []
    for number, broker in enumerate(cluster.brokers, 1):
        folder = tmp_path / f"broker-{number}"
        folder.mkdir()
        broker._configure(folder / "log")
        found.append(dict(line.split("=", 1) for line in (folder / "server.properties").read_text().splitlines()))
    return cluster, found


def test_every_broker_knows_the_same_controllers_and_has_its_own_number(written):
    _, brokers = written
    assert [broker["node.id"] for broker in brokers] == ["1", "2", "3"]
    assert len({broker["controller.quorum.voters"] for broker in brokers}) == 1
    assert len({broker["listeners"] for broker in brokers}) == 3


def test_clients_are_told_of_all(written):
    cluster, _ = written
    assert cluster.bootstrap == ",".join(broker.bootstrap for broker in cluster.brokers)
    assert len(set(cluster.bootstrap.split(","))) == 3


def test_positions_and_transactions_are_on_all_and_acknowledged_by_two(written):
    for broker in written[1]:
        assert broker["offsets.topic.replication.factor"] == broker["transaction.state.log.replication.factor"] == "3"
        assert broker["min.insync.replicas"] == broker["transaction.state.log.min.isr"] == "2"


def test_before_the_first_start_there_is_nothing_to_stop(tmp_path):
    KafkaCluster(tmp_path).stop()
