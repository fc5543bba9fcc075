"""Which broker of a cluster does what just now: a fault is aimed at a role, and brokers are killed."""

import socket
import struct
import time
from contextlib import suppress

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_ANSWER_SECONDS = 5
_QUORUM_OF = b"__cluster_metadata"


class Roles:
    """Asks the cluster; each answer is a broker's number. Asks again while the cluster has none."""

    def __init__(self, bootstrap):
        self._bootstrap = bootstrap

    def leader(self, topic, partition):
        """Of a partition."""
        return self._patiently(lambda: self._partitions(topic)[partition].leader)

    def group_coordinator(self, group):
        return self._coordinator("__consumer_offsets", group)

    def transaction_coordinator(self, transactional_id):
        return self._coordinator("__transaction_state", transactional_id)

    def controller(self):
        """The active one. Metadata names any broker as it: the quorum itself has to be asked."""
        return self._patiently(self._quorum_leader)

    def in_sync(self, replicas):
        """Whether every partition of every topic has so many replicas, all in sync."""
        with suppress(KafkaException):
            topics = self._topics()
            partitions = [partition for topic in topics.values() for partition in topic.partitions.values()]
            return all(len(partition.isrs) == replicas and partition.leader > 0 for partition in partitions)
        return False

    def _coordinator(self, topic, name):
        """A coordinator is the leader of the partition that has its records: Java's hash of the name decides which."""
        number = 0
        for character in name:
            number = (31 * number + ord(character)) & 0xFFFFFFFF
        return self._patiently(lambda: (p := self._partitions(topic))[(number & 0x7FFFFFFF) % len(p)].leader)

    def _partitions(self, topic):
        return self._topics()[topic].partitions

    def _topics(self):
        return AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 0}).list_topics(timeout=5).topics

    def _quorum_leader(self):
        # DescribeQuorum v0 (flexible): one topic, its partition 0. The answer has the leader behind both error codes.
        topic = bytes([2, len(_QUORUM_OF) + 1]) + _QUORUM_OF + bytes([2]) + struct.pack(">i", 0) + bytes([0, 0, 0])
        request = struct.pack(">hhih", 55, 0, 1, -1) + b"\0" + topic
        for address in self._bootstrap.split(","):
            host, _, port = address.partition(":")
            with (
                suppress(OSError, struct.error),
                socket.create_connection((host, int(port)), _ANSWER_SECONDS) as connection,
                connection.makefile("rb") as answer,
            ):
                connection.sendall(struct.pack(">i", len(request)) + request)
                (size,) = struct.unpack(">i", answer.read(4))
                body = answer.read(size)
                behind = body.index(_QUORUM_OF) + len(_QUORUM_OF) + 1
                _, error, leader = struct.unpack_from(">ihi", body, behind)
                if not error:
                    return leader
        return -1

    def _patiently(self, ask, within=60):
        end = time.monotonic() + within
        while True:
            with suppress(KafkaException):
                number = ask()
                if number > 0:
                    return number
            if time.monotonic() > end:
                raise TimeoutError("the cluster has nobody in that role")
            time.sleep(0.2)
