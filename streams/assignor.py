"""Who has which partition: Faust's sticky assignor, told by the contract how many there are, not by the broker.

A broker that has just been started may know no topic yet. The leader of a group that asks it at that moment would find nothing to
give to anybody, and all members would be content with that until the metadata are fetched anew, minutes later.
"""

from collections.abc import Mapping
from typing import Any, cast

from aiokafka.cluster import ClusterMetadata
from faust.assignor.partition_assignor import PartitionAssignor


class Contract(ClusterMetadata):  # type: ignore[misc]  # aiokafka has no types
    """What an assignor asks of a cluster's metadata."""

    def __init__(self, partitions: Mapping[str, int]) -> None:
        """`partitions`: how many each topic has, by its name on the broker."""
        super().__init__()
        self._numbers = partitions

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Their numbers; None of a topic that is not in the contract."""
        return set(range(self._numbers[topic])) if topic in self._numbers else None


class ContractAssignor(PartitionAssignor):
    """Every partition of the app's sources is given to somebody (provision.py has seen, when each worker started, that they are there)."""

    def assign(self, cluster: ClusterMetadata, member_metadata: Any) -> Any:  # noqa: ARG002 (Faust calls it so)
        """The assignment of each member, by its id."""
        return super().assign(Contract(cast(Any, self.app).partitions), member_metadata)
