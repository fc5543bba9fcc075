"""Reading to the end, of a consumer that has what the test says."""

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.topics import EVENTS, METRICS
from streams.settings import Settings
from streams.standalone import partitions_of, to_the_end

pytestmark = pytest.mark.unit

EOF = KafkaError(KafkaError._PARTITION_EOF)


class Message:
    def __init__(self, partition, error=None):
        self._partition = partition
        self._error = error

    def topic(self):
        return "topic"

    def partition(self):
        return self._partition

    def error(self):
        return self._error


class Reader:
    """Gives out its messages, then nothing."""

    def __init__(self, *messages):
        self.left = list(messages)
        self.assigned = None

    def assign(self, partitions):
        self.assigned = [(here.topic, here.partition, here.offset) for here in partitions]

    def unassign(self):
        self.assigned = None

    def poll(self, timeout):
        return self.left.pop(0) if self.left else None


def read(reader):
    return list(to_the_end(reader, [TopicPartition("topic", 0, 7), TopicPartition("topic", 1, 0)]))


def test_it_reads_until_each_partition_was_at_its_end():
    one, two, late = Message(0), Message(1), Message(0)
    reader = Reader(one, Message(0, EOF), late, two, Message(1, EOF), Message(1))
    assert read(reader) == [one, late, two]
    assert (len(reader.left), reader.assigned) == (1, None)


def test_it_begins_where_it_is_told():
    reader = Reader(Message(0))
    next(to_the_end(reader, [TopicPartition("topic", 0, 7)]))
    assert reader.assigned == [("topic", 0, 7)]


def test_no_partitions_have_no_records():
    assert list(to_the_end(Reader(), [])) == []


def test_silence_before_the_end_is_no_end():
    with pytest.raises(TimeoutError, match=r"1 partition\(s\) do not come to their end"):
        read(Reader(Message(0), Message(0, EOF), Message(1)))


def test_an_error_is_raised():
    with pytest.raises(KafkaException):
        read(Reader(Message(0, KafkaError(KafkaError.OFFSET_OUT_OF_RANGE))))


def test_the_partitions_are_the_contract_s_by_their_names_on_the_broker():
    settings = Settings(namespace="blue", partitions=2)
    found = [(here.topic, here.partition, here.offset) for here in partitions_of(settings, [EVENTS, METRICS])]
    assert found[:2] == [("blue.photos.events", 0, 0), ("blue.photos.events", 1, 0)]
    assert len(found) == 2 + METRICS.partitions
