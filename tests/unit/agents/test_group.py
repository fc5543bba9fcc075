"""group: the order of outcomes, and what each is to its library."""

import itertools

import pytest

from agents.group import group
from schemas import codec, metrics
from schemas.errors import Reason, Unreadable
from schemas.events import PhotoGrouped, Root
from schemas.topics import ENRICHED, GROUPED
from tests.support.batches import Counted, batch
from tests.support.builders import admitted, enriched, rejected

pytestmark = pytest.mark.unit


class Remembered(dict):
    """A partition's state."""

    def get_many(self, keys):
        return [self.get(key) for key in keys]


def seen(offset, attempt=0, fill=0, generation=1, **fields):
    return enriched(root=Root(generation, 3, offset), attempt=attempt, fill=fill, **fields)


def refused(offset, attempt=0, fill=0, **fields):
    return rejected(root=Root(1, 3, offset), attempt=attempt, fill=fill, **fields)


def misplaced(partition=5, offset=90):
    return rejected(root=Root(1, partition, offset), reason=Reason.WRONG_PARTITION, stage="admit")


async def grouping(*outcomes, state=None, measure=None):
    state = {} if state is None else state
    result = await group(batch(ENRICHED, *outcomes), Remembered(state), hash_key=b"key", measure=measure or Counted())
    state.update(result.changes)
    return result.outputs


async def stamps(*outcomes, state=None, one_by_one=False):
    if one_by_one:
        state = {} if state is None else state
        batches = [await grouping(outcome, state=state) for outcome in outcomes]
        return [output.event.stamp for outputs in batches for output in outputs]
    return [output.event.stamp for output in await grouping(*outcomes, state=state)]


@pytest.mark.parametrize("outcome", [enriched(), rejected()])
async def test_an_outcome_goes_on_whole_with_its_stamp_keyed_by_its_owner(outcome):
    [output] = await grouping(outcome)
    assert output.topic is GROUPED
    assert output.key == b"owner-1"
    assert output.event.outcome == outcome
    assert (output.event.root, output.event.photo_id) == (outcome.root, outcome.photo_id)
    assert codec.decode(codec.encode(output.event), PhotoGrouped) == output.event


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([seen(10)], ["first"]),
        ([refused(10)], ["first"]),
        ([seen(10), seen(20)], ["first", "again"]),
        ([seen(10), seen(10, fill=1), seen(10, fill=2)], ["first", "filled", "filled"]),
        ([seen(10), seen(10, attempt=1)], ["first", "again"]),
        ([seen(10), seen(10, attempt=1, fill=1)], ["first", "again"]),
        ([seen(10), seen(5, generation=2)], ["first", "again"]),
        ([refused(10), seen(10, attempt=1)], ["first", "again"]),
        ([refused(10), refused(20)], ["first", "again"]),
        ([seen(10), refused(20)], ["first", "again"]),
        # not newer: dropped
        ([seen(10), seen(10)], ["first"]),
        ([seen(20), seen(10)], ["first"]),
        ([seen(10, attempt=1), seen(10, fill=9)], ["first"]),
        ([seen(10, fill=1), seen(10)], ["first"]),
        ([seen(20), refused(10)], ["first"]),
        ([seen(10), refused(10)], ["first"]),
        ([refused(10), refused(10)], ["first"]),
        ([refused(20), refused(10)], ["first"]),
        ([seen(5, generation=2), seen(10)], ["first"]),
        # a reject replaces nothing that was seen
        ([seen(10), refused(20), seen(15)], ["first", "again", "again"]),
        ([refused(20), seen(10)], ["first", "again"]),
        ([seen(10), refused(10, attempt=1), seen(10, fill=1)], ["first", "again", "filled"]),
        ([seen(10), refused(20), refused(15)], ["first", "again"]),
        ([seen(10), refused(20), seen(10)], ["first", "again"]),
    ],
)
async def test_stamps(outcomes, expected, one_by_one):
    assert await stamps(*outcomes, one_by_one=one_by_one) == expected


async def test_in_whichever_order_outcomes_arrive_the_same_look_is_the_last():
    outcomes = [seen(10), refused(12), seen(15), seen(15, fill=1), refused(20), seen(5)]
    for order in itertools.permutations(outcomes):
        outputs = await grouping(*order)
        last_seen = [output.event for output in outputs if output.event.enriched][-1]
        assert (last_seen.root.offset, last_seen.fill) == (15, 1)
        assert [output.event.stamp for output in outputs].count("first") == 1


async def test_everything_read_a_second_time_is_dropped():
    state = {}
    outcomes = [seen(10), refused(20), seen(15), refused(30), seen(15, fill=1)]
    assert len(await grouping(*outcomes, state=state)) == 5
    assert await grouping(*outcomes, state=state) == []


async def test_what_is_dropped_is_counted():
    measure = Counted()
    await grouping(seen(20), seen(10), refused(5), measure=measure)
    assert measure.counts == {(metrics.STALE.name,): 2}


async def test_photos_do_not_know_of_each_other_nor_owners():
    outcomes = [seen(20), seen(10, photo_id="photo-2"), seen(5, owner_id="owner-2")]
    assert await stamps(*outcomes) == ["first", "first", "first"]


async def test_an_upload_in_a_wrong_partition_holds_nothing_up():
    """Its root is of another partition: higher, and yet not newer."""
    assert await stamps(misplaced(partition=7), seen(10), misplaced(partition=7), seen(20)) == [
        "first",
        "again",
        "again",
        "again",
    ]
    assert await stamps(seen(10), misplaced(partition=0), seen(11)) == ["first", "again", "again"]


async def test_what_is_remembered_names_nobody_and_is_small():
    state = {}
    await grouping(seen(10), refused(20), state=state)
    [(key, value)] = state.items()
    assert len(key) == 16
    assert len(value) == 48
    assert b"owner" not in key + value


async def test_the_largest_numbers_fit():
    state = {}
    far = Root(2**31 - 1, 2**31 - 1, 2**63 - 1)
    await grouping(enriched(root=far, attempt=2**31 - 1, fill=2**31 - 2), state=state)
    assert await stamps(enriched(root=far, attempt=2**31 - 1, fill=2**31 - 1), state=state) == ["filled"]


async def test_something_else_on_the_topic_is_a_bug_not_a_reject():
    with pytest.raises(Unreadable, match="where PhotoEnriched or PhotoRejected belongs"):
        await grouping(admitted())
