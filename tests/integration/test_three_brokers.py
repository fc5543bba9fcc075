"""Three brokers, replication 3, two in sync: one may die, and all may be restarted in turn, while events go through exactly once."""

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from schemas.topics import EVENTS
from streams import provision
from tests.chaos.three_brokers import Storm, cluster, kill
from tests.support.eventually import eventually
from tests.support.kafka_roles import Roles
from tests.support.steady import exact

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("three")) as (brokers, settings):
        yield brokers.brokers, settings


def in_sync(settings):
    assert Roles(settings.brokers).in_sync(3)


@pytest.mark.timeout(600)  # nine starts of a broker
def test_events_go_through_once_while_brokers_die_and_are_restarted(three):
    brokers, settings = three
    provision.ensure(settings)
    eventually(lambda: in_sync(settings), within=60)
    kill(brokers[0])
    # Who comes now finds the first of the brokers dead that he was told of.
    storm = Storm(brokers, settings, rate=100, seed=1)
    with storm:
        brokers[0].start()
        eventually(lambda: in_sync(settings), within=60)
        storm.suffer(storm.leader_killed)
        storm.suffer(storm.restarted_in_turn)
    result = storm.result()
    assert exact(result["accounting"]), result
    assert len(result["faults"]) == 2


def test_what_is_acknowledged_is_on_two_brokers(three):
    _, settings = three
    provision.ensure(settings)
    admin = AdminClient({"bootstrap.servers": settings.brokers, "log_level": 0})
    topics = admin.list_topics(timeout=20).topics
    for name in (settings.topic(EVENTS), "__consumer_offsets", "__transaction_state"):
        assert {len(partition.replicas) for partition in topics[name].partitions.values()} == {3}, name
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        assert admin.describe_configs([resource])[resource].result(20)["min.insync.replicas"].value == "2", name
