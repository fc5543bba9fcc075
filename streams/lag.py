"""How far each agent is behind. Blocking."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from streams.patience import or_unavailable
from streams.settings import Settings
from streams.standalone import committed, log_of, partitions_of, reading, to_the_end
from streams.topology import FLOWS, Flow

_TIMEOUT_SECONDS = 15.0

_NEARLY = 20
"""A lag up to so many is counted record by record: the log's end counts transactions' markers, which are nobody's work."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far an agent is behind in one partition: `records` that it has not committed yet, from `position` on."""

    agent: str
    topic: str
    partition: int
    position: int
    records: int


def lag(settings: Settings, flows: Iterable[Flow] = FLOWS.values()) -> list[Lag]:
    """Of every agent, by the topics that it reads. Raises Unavailable without a broker, or without the topics."""
    # Consumers that nobody keeps, not an admin client: librdkafka 2.16's dies when a group's coordinator is not there yet, and
    # asks for the log's ends with what it knew of their leaders before a broker's restart.
    with or_unavailable(settings.brokers), reading(settings.brokers) as reader:
        return [each for flow in flows for each in _lags(reader, settings, flow)]


def _lags(reader: Consumer, settings: Settings, flow: Flow) -> Iterator[Lag]:
    partitions = partitions_of(settings, flow.sources)
    for here in committed(settings, flow.agent, partitions, timeout_seconds=_TIMEOUT_SECONDS):
        log = log_of(reader, here.topic, here.partition, _TIMEOUT_SECONDS)
        position = max(here.offset, log.begin)
        records = log.end - position
        if 0 < records <= _NEARLY:
            rest = TopicPartition(here.topic, here.partition, position)
            records = sum(1 for _ in to_the_end(reader, [rest], silence_seconds=_TIMEOUT_SECONDS))
        yield Lag(flow.agent, here.topic, here.partition, position, records)
