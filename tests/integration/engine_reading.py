"""What is on a topic, as a reader of committed records sees it."""

from streams.standalone import partitions_of, reading, to_the_end


def records(settings, topic):
    """All committed records of a topic."""
    with reading(settings.brokers) as consumer:
        yield from to_the_end(consumer, partitions_of(settings, [topic]))
