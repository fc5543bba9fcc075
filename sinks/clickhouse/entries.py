"""Whether ClickHouse has rows of one partition of a topic: then somebody has read that partition before."""

from schemas.topics import DEAD_LETTER, GROUPED, METRICS

_QUESTIONS = {
    # A photo travels in the partition of its owner, which photos.events and photos.grouped share; one that was uploaded into a
    # wrong partition is rejected for it, and travels in another than its root's. No index helps, but a hit ends the search, and
    # without one some 100 million numbers that compress well are read: a second, once in the life of a partition.
    GROUPED.name: "SELECT 1 FROM photo_outcomes WHERE root_partition = {partition:UInt32} AND reason != 'wrong_partition' LIMIT 1",
    # Bytes that are nobody's travel by the number of the partition that they came in (agents/admit.py).
    DEAD_LETTER.name: (
        "SELECT 1 FROM dead_letters WHERE owner_id = '' "
        "AND kafkaMurmurHash(toString(root_partition)) % {partitions:UInt32} = {partition:UInt32} LIMIT 1"
    ),
    # Metrics travel by their worker's name, and every worker says at every report that it is up.
    METRICS.name: (
        "SELECT 1 FROM metrics WHERE name = 'photos_worker_up' "
        "AND kafkaMurmurHash(worker) % {partitions:UInt32} = {partition:UInt32} LIMIT 1"
    ),
}

TABLES = {GROUPED.name: "photo_outcomes", DEAD_LETTER.name: "dead_letters", METRICS.name: "metrics"}
"""In which table they are looked for, by the topic's contract name."""


def question(topic: str, partition: int, partitions: int) -> tuple[str, dict[str, int]]:
    """A query with its parameters that gives a row if there are entries, and none if not; `partitions` of the topic."""
    return _QUESTIONS[topic], {"partition": partition, "partitions": partitions}
