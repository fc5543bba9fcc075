"""What is on a topic, as a reader of committed records sees it."""

from contextlib import closing

from confluent_kafka import Consumer, KafkaError, TopicPartition


def records(settings, topic):
    """All committed records of a topic."""
    config = {
        "bootstrap.servers": settings.brokers,
        "group.id": "reader",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 50,
    }
    with closing(Consumer(config)) as consumer:
        left = set(range(settings.partitions_of(topic)))
        consumer.assign([TopicPartition(settings.topic(topic), partition, 0) for partition in left])
        while left:
            message = consumer.poll(10)
            assert message, f"{topic.name} does not come to its end"
            if message.error():
                assert message.error().code() == KafkaError._PARTITION_EOF
                left.discard(message.partition())
            else:
                yield message
