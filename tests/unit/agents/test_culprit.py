"""A record that an agent always fails on: each agent's rejection of its photo."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agents import culprit
from schemas import codec, metrics
from schemas.errors import Reason, Unreadable
from schemas.events import DeadLetter, PhotoGrouped, PhotoRejected, Redrive, Root
from schemas.partitioning import partition_of
from schemas.redrive import redriven
from schemas.tables import DEAD_LETTERS, PHOTO_OUTCOMES
from schemas.topics import ADMITTED, DEAD_LETTER, ENRICHED, EVENTS, GROUPED, METRICS
from tests.support.batches import Counted, Read, batch
from tests.support.builders import NOON, admitted, dead_letter, enriched, grouped, metric, rejected, uploaded

pytestmark = pytest.mark.unit

DETAIL = "KeyError at agents/group.py:41 in _stamp"
LATER = NOON + timedelta(seconds=5)
HERE = partition_of(b"owner-1", 8)


class Remembered(dict):
    """A partition's state."""

    def get_many(self, keys):
        return [self.get(key) for key in keys]


@pytest.fixture
def measure():
    return Counted()


def internal(measure):
    return measure.counts[(metrics.REJECTED.name, ("reason", "internal_error"))]


async def of_admit(measure, *values, partition=HERE, key=b"owner-1"):
    given = batch(EVENTS, *values, first=7, partition=partition)
    [record] = given.records
    given.records[0] = Read(record.value, record.offset, record.timestamp, key)
    result = await culprit.of_admit(
        given, Remembered(), DETAIL, generation=2, partitions=8, version="9", clock=lambda: LATER, measure=measure
    )
    assert result.changes == {}
    [output] = result.outputs
    codec.encode(output.event)
    return output


async def test_admit_rejects_a_photo_whose_event_can_be_attributed(measure):
    event = uploaded(object_uri="x" * 5000)
    output = await of_admit(measure, event)
    assert (output.topic, output.key) == (ENRICHED, b"owner-1")
    photo = output.event
    assert isinstance(photo, PhotoRejected)
    assert (photo.event_id, photo.photo_id, photo.owner_id) == (event.event_id, event.photo_id, event.owner_id)
    assert (photo.stage, photo.reason, photo.detail) == ("admit", Reason.INTERNAL_ERROR, DETAIL)
    assert (photo.root, photo.rejected_at, photo.worker_version) == (Root(2, HERE, 7), LATER, "9")
    assert len(photo.object_uri) == 2048
    assert internal(measure) == 1


async def test_admit_rejects_a_redrive_as_that_attempt_and_one_that_is_none_as_itself(measure):
    redrive = Redrive(Root(2, HERE, 3), 1)
    legal = (await of_admit(measure, redriven(uploaded(), redrive))).event
    assert (legal.reason, legal.root, legal.attempt) == (Reason.INTERNAL_ERROR, redrive.root, 1)
    illegal = (await of_admit(measure, redriven(uploaded(), replace(redrive, attempt=4)))).event
    assert (illegal.reason, illegal.root, illegal.attempt) == (Reason.INTERNAL_ERROR, Root(2, HERE, 7), 0)


@pytest.mark.parametrize("value", [b"\0nothing", None, uploaded(owner_id="")])
async def test_admit_buries_what_belongs_to_nobody_without_the_bytes(measure, value):
    output = await of_admit(measure, value)
    assert (output.topic, output.key) == (DEAD_LETTER, str(HERE).encode())
    assert isinstance(output.event, DeadLetter)
    assert (output.event.reason, output.event.detail, output.event.payload) == ("internal_error", DETAIL, b"")


@pytest.mark.parametrize("elsewhere", [{"partition": (HERE + 1) % 8}, {"key": b"other"}])
async def test_admit_calls_a_misplaced_record_misplaced_for_its_place_compares_with_no_other(measure, elsewhere):
    output = await of_admit(measure, uploaded(), **elsewhere)
    assert output.event.reason == Reason.WRONG_PARTITION


async def test_enrich_rejects_the_photo(measure):
    photo = admitted(root=Root(2, 3, 4), attempt=5, fill=6)
    result = await culprit.of_enrich(
        batch(ADMITTED, photo), Remembered(), DETAIL, version="9", clock=lambda: LATER, measure=measure
    )
    [output] = result.outputs
    assert (output.topic, output.key, result.changes) == (ENRICHED, b"owner-1", {})
    assert (output.event.root, output.event.attempt, output.event.fill) == (Root(2, 3, 4), 5, 6)
    assert (output.event.stage, output.event.reason, output.event.detail) == ("enrich", "internal_error", DETAIL)
    assert codec.decode(codec.encode(output.event), PhotoRejected) == output.event
    assert internal(measure) == 1


async def of_group(measure, outcome, state):
    result = await culprit.of_group(
        batch(ENRICHED, outcome),
        Remembered(state),
        DETAIL,
        hash_key=b"key",
        version="9",
        clock=lambda: LATER,
        measure=measure,
    )
    state.update(result.changes)
    return [output.event for output in result.outputs]


@pytest.mark.parametrize("outcome", [enriched(), rejected()])
async def test_group_passes_a_rejection_on_in_the_photo_s_order(measure, outcome):
    state = {}
    [event] = await of_group(measure, outcome, state)
    assert isinstance(event, PhotoGrouped)
    assert (event.stamp, event.enriched) == ("first", None)
    assert (event.rejected.stage, event.rejected.reason, event.rejected.detail) == ("group", "internal_error", DETAIL)
    assert event.root == event.rejected.root == outcome.root
    assert await of_group(measure, outcome, state) == [], "the same again is no news"


def of_store(measure, topic, event):
    rows = culprit.of_store(batch(topic, event), DETAIL, LATER, version="9", measure=measure)
    return {of_table.table: of_table.values for of_table in rows}


@pytest.mark.parametrize("outcome", [enriched(), rejected()])
def test_store_makes_the_photo_s_rows_those_of_a_rejection(measure, outcome):
    rows = of_store(measure, GROUPED, grouped(outcome, stamp="again"))
    assert set(rows) == {PHOTO_OUTCOMES, DEAD_LETTERS}
    [outcome_row], [letter] = rows[PHOTO_OUTCOMES], rows[DEAD_LETTERS]
    told = dict(zip(PHOTO_OUTCOMES.columns, outcome_row, strict=True))
    assert (told["outcome"], told["reason"], told["stamp"]) == ("rejected", "internal_error", "again")
    told = dict(zip(DEAD_LETTERS.columns, letter, strict=True))
    assert (told["stage"], told["detail"], told["rejected_at"]) == ("store", DETAIL, LATER)
    assert told["advice"] == Reason.INTERNAL_ERROR.advice
    assert internal(measure) == 1


@pytest.mark.parametrize(("topic", "event"), [(METRICS, metric()), (DEAD_LETTER, dead_letter())])
def test_store_counts_and_skips_a_metric_or_dead_letter(measure, topic, event):
    assert of_store(measure, topic, event) == {}
    assert measure.counts == {(metrics.SKIPPED.name, ("topic", topic.name)): 1}


async def test_a_record_of_an_inner_topic_that_cannot_be_read_is_nobody_s_to_reject(measure):
    with pytest.raises(Unreadable):
        await culprit.of_enrich(
            batch(ADMITTED, b"\0nothing"), Remembered(), DETAIL, version="9", clock=lambda: LATER, measure=measure
        )
