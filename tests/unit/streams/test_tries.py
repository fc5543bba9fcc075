from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
from confluent_kafka import KafkaError, KafkaException

from agents.batch import Batch
from schemas.errors import StrangeWorld, Unavailable
from schemas.metrics import INTERNAL_ERRORS
from streams.position import Position
from streams.tries import Tries, passed
from tests.support.batches import Counted, Read

pytestmark = pytest.mark.unit

START = Position(10, "topic-id")


def batch(*offsets):
    return Batch("photos.events", 3, [Read(b"", offset, 0) for offset in offsets])


@dataclass
class Claim:
    position: Position = START
    committed: list = field(default_factory=list)
    away: bool = False

    def begin(self):
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def commit(self, position):
        self.committed.append(position)
        self.position = position


@pytest.fixture
def claim():
    return Claim()


@pytest.fixture
def measure():
    return Counted()


@pytest.fixture
def tries(claim, measure):
    with ThreadPoolExecutor(1) as threads:
        yield Tries(claim, threads=threads, measure=measure)


def parts(tries, *offsets):
    return [[record.offset for record in part.records] for part in tries.parts(batch(*offsets))]


def raising(error):
    async def work(part):
        raise error

    return work


async def offsets(part):
    return [record.offset for record in part.records]


async def reject(part, why):
    return why


@pytest.mark.parametrize("failed", [0, 1])
def test_a_batch_is_not_divided_before_it_has_failed_twice(tries, claim, failed):
    claim.position = replace(START, tries=failed, suspect=12)
    whole = batch(10, 11, 12)
    assert list(tries.parts(whole)) == [whole]
    assert next(tries.parts(whole)) is whole


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        ((10, 12, 13), [[10], [12], [13]]),
        ((10, 12), [[10], [12]]),
        ((10, 12, 13, 14, 15), [[10], [12], [13], [14, 15]]),
    ],
)
def test_after_that_each_suspect_is_alone_whatever_the_batch_s_bounds_are_now(tries, claim, read, expected):
    claim.position = replace(START, tries=2, suspect=13)
    assert parts(tries, *read) == expected


async def test_work_that_ends_well_moves_the_position_and_counts_nothing(tries, claim):
    made = await tries.make(batch(10, 11), offsets, reject)
    assert (made.result, made.after, made.culprit) == ([10, 11], Position(12, "topic-id"), "")
    assert claim.committed == []


async def test_a_failure_is_counted_at_the_same_position_with_the_batch_s_last_record(tries, claim):
    claim.position = replace(START, tries=1, suspect=99, format=4)
    with pytest.raises(KeyError):
        await tries.make(batch(10, 11), raising(KeyError("owner-1")), reject)
    assert claim.committed == [replace(START, tries=2, suspect=11, format=4)]


@pytest.mark.parametrize(
    "error", [Unavailable("triton", "down"), StrangeWorld("odd"), KafkaException(KafkaError(KafkaError._FENCED))]
)
async def test_what_is_not_the_work_s_fault_is_no_failed_try_and_rejects_nothing(tries, claim, error):
    for position in (START, replace(START, tries=2, suspect=10)):
        claim.position = position
        with pytest.raises(type(error)):
            await tries.make(batch(10), raising(error), reject)
    assert claim.committed == []


async def test_a_count_that_does_not_succeed_hides_not_what_failed(tries, claim):
    claim.away = True
    with pytest.raises(KeyError):
        await tries.make(batch(10), raising(KeyError()), reject)


async def test_a_suspect_that_fails_alone_is_rejected_by_kind_and_place_and_counted(tries, claim, measure):
    claim.position = replace(START, tries=2, suspect=12)
    made = await tries.make(batch(10), raising(KeyError("owner-1")), reject)
    assert made.result == made.culprit
    assert made.culprit.startswith("KeyError at tests/unit/streams/test_tries.py:")
    assert made.after == replace(START, offset=11, tries=2, suspect=12, culprits=1)
    assert measure.counts == {(INTERNAL_ERRORS.name, ("topic", "photos.events")): 1}


async def test_a_fault_that_all_records_have_in_common_drains_no_topic(tries, claim):
    claim.position = replace(START, tries=2, suspect=50)
    for offset in range(10, 20):
        claim.position = (await tries.make(batch(offset), raising(KeyError()), reject)).after
    with pytest.raises(StrangeWorld, match="10 records in a row failed, and so does 20"):
        await tries.make(batch(20), raising(KeyError()), reject)
    # A version without the fault goes on by itself.
    assert (await tries.make(batch(20), offsets, reject)).after.culprits == 0


def test_suspects_are_so_until_they_have_passed():
    failed = replace(START, tries=2, suspect=12)
    assert passed(failed, 12) == replace(failed, offset=12)
    assert passed(failed, 13) == Position(13, "topic-id")
