"""Every partition has somebody, whatever the broker knows at that moment."""

from itertools import chain

import pytest
from aiokafka.cluster import ClusterMetadata

from streams.app import AgentApp
from streams.assignor import ContractAssignor
from streams.settings import Settings
from streams.topology import FLOWS

pytestmark = pytest.mark.unit


@pytest.fixture
def assignor():
    app = AgentApp(FLOWS["admit"], Settings(namespace="here", partitions=5))
    assert isinstance(app.assignor, ContractAssignor)
    return app.assignor


def given(assignor, cluster, members):
    metadata = {member: assignor.metadata({"here.photos.events"}) for member in members}
    return {
        member: sorted(tp.partition for tp in each.partitions())
        for member, each in assignor.assign(cluster, metadata).items()
    }


def test_a_broker_that_knows_of_no_topic_yet_leaves_nobody_without_partitions(assignor):
    shares = given(assignor, ClusterMetadata(), ["one", "other"])
    assert sorted(chain(*shares.values())) == [0, 1, 2, 3, 4]
    assert all(shares.values())


def test_a_topic_that_is_not_in_the_contract_is_nobodys(assignor):
    metadata = {"one": assignor.metadata({"somebody.elses"})}
    assert assignor.assign(ClusterMetadata(), metadata)["one"].partitions() == []
