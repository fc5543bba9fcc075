"""admit: each uploaded photo once."""

from datetime import timedelta

import pytest

from agents.admit import Rules, admit
from agents.batch import Batch
from schemas import codec, metrics
from schemas.errors import Reason
from schemas.events import DeadLetter, PhotoAdmitted, PhotoRejected, Root
from schemas.partitioning import partition_of
from schemas.topics import ADMITTED, DEAD_LETTER, ENRICHED
from tests.support.batches import Counted, Read
from tests.support.builders import NOON, admitted, metric, uploaded

pytestmark = pytest.mark.unit

MONTH = timedelta(days=30)
RULES = Rules(generation=1, partitions=8, remember=MONTH, hash_key=b"key", version="0.1.0")
OWN = partition_of(b"owner-1", 8)
LATER = NOON + timedelta(seconds=3)


class Remembered(dict):
    """A partition's state."""

    def get_many(self, keys):
        return [self.get(key) for key in keys]


def read(event, offset=0, at=NOON, key=None):
    value = event if isinstance(event, bytes | None) else codec.encode(event)
    if key is None:
        key = b"" if isinstance(event, bytes | None) else event.owner_id.encode()
    return Read(value, offset, round(at.timestamp() * 1000), key)


async def admitting(*records, state=None, partition=OWN, measure=None, rules=RULES):
    """The events that come of it, with topic and key."""
    state = {} if state is None else state
    result = await admit(
        Batch("photos.events", partition, records),
        Remembered(state),
        rules=rules,
        clock=lambda: LATER,
        measure=measure or Counted(),
    )
    state.update(result.changes)
    return [(output.topic, output.key, output.event) for output in result.outputs]


async def reasons(*records, **kwargs):
    return [getattr(event, "reason", None) for _, _, event in await admitting(*records, **kwargs)]


async def test_a_valid_event_is_admitted_with_its_root_and_keyed_by_its_content():
    [(topic, key, event)] = await admitting(read(uploaded(), offset=42))
    assert topic is ADMITTED
    assert key == uploaded().content_sha256
    assert event == admitted(root=Root(1, OWN, 42), admitted_at=LATER)
    assert codec.decode(codec.encode(event), PhotoAdmitted) == event


@pytest.mark.parametrize("value", [b"", b"{}", None, b"\0\0\0\0\1garbage", codec.encode(metric())])
async def test_bytes_that_nobody_can_read_become_a_dead_letter(value):
    (topic, key, letter), _ = await admitting(read(value, offset=7), read(uploaded(), offset=8))
    assert topic is DEAD_LETTER
    assert key == str(OWN).encode()
    assert letter.root == Root(1, OWN, 7)
    assert letter.reason == Reason.UNREADABLE_EVENT
    assert letter.payload == (value or b"")
    assert codec.decode(codec.encode(letter), DeadLetter) == letter


async def test_a_dead_letter_carries_the_first_16_kib_and_the_whole_size():
    [(_, _, letter)] = await admitting(read(b"x" * 100_000))
    assert letter.payload == b"x" * 16_384
    assert letter.payload_bytes == 100_000


@pytest.mark.parametrize("field", ["owner_id", "photo_id", "event_id"])
async def test_an_event_of_nobody_becomes_a_dead_letter_that_names_the_field(field):
    [(topic, _, letter)] = await admitting(read(uploaded(**{field: ""})))
    assert topic is DEAD_LETTER
    assert (letter.reason, letter.detail) == (Reason.INVALID_EVENT, f"{field} is empty")


async def test_an_invalid_event_is_rejected_to_its_owner():
    [(topic, key, event)] = await admitting(read(uploaded(size_bytes=-1), offset=5))
    assert topic is ENRICHED
    assert key == b"owner-1"
    assert (event.stage, event.reason) == ("admit", Reason.INVALID_EVENT)
    assert event.detail == "size_bytes is -1, at least 1 is allowed"
    assert event.root == Root(1, OWN, 5)
    assert event.size_bytes == 0  # as far as it can be stored
    assert event.rejected_at == LATER
    assert codec.decode(codec.encode(event), PhotoRejected) == event


async def test_the_record_s_key_must_be_owner_id():
    [(topic, key, event)] = await admitting(read(uploaded(), key=b"something"))
    assert topic is ENRICHED
    assert key == b"owner-1"
    assert event.reason == Reason.WRONG_PARTITION
    assert event.detail == "the record's key is not owner_id in UTF-8"


async def test_a_record_in_another_partition_than_murmur2_says_is_rejected_with_both():
    wrong = (OWN + 1) % 8
    [(topic, _, event)] = await admitting(read(uploaded()), partition=wrong)
    assert topic is ENRICHED
    assert event.reason == Reason.WRONG_PARTITION
    assert f"partition {wrong}" in event.detail
    assert event.detail.endswith(f"gives {OWN}")


async def test_a_misplaced_record_is_not_remembered():
    state = {}
    await admitting(read(uploaded()), partition=(OWN + 1) % 8, state=state)
    assert state == {}


@pytest.mark.parametrize("batches", [1, 2])
async def test_the_same_event_again_is_dropped_and_counted(batches):
    state, measure = {}, Counted()
    records = [read(uploaded(), offset=0), read(uploaded(), offset=1)]
    if batches == 1:
        outputs = await admitting(*records, state=state, measure=measure)
    else:
        outputs = [each for record in records for each in await admitting(record, state=state, measure=measure)]
    assert [event.root.offset for _, _, event in outputs] == [0]
    assert measure.counts == {(metrics.ADMITTED.name,): 1, (metrics.REPEATS.name,): 1}


async def test_a_repeat_is_known_by_owner_event_and_content_whatever_else_differs():
    again = uploaded(photo_id="another", object_uri="s3://elsewhere/a.jpg", uploaded_at=NOON + timedelta(hours=1))
    assert await reasons(read(uploaded()), read(again, 1), read(uploaded(source=""), 2)) == [None]


async def test_the_same_id_from_another_owner_is_another_event():
    owner = next(f"owner-{n}" for n in range(2, 100) if partition_of(f"owner-{n}".encode(), 8) == OWN)
    assert await reasons(read(uploaded()), read(uploaded(owner_id=owner), 1)) == [None, None]


async def test_the_same_id_for_other_content_is_rejected_and_the_first_stays_remembered():
    state = {}
    other = uploaded(content_sha256=b"x" * 32)
    assert await reasons(read(uploaded()), read(other, 1), state=state) == [None, Reason.EVENT_ID_REUSED]
    assert await reasons(read(other, 2), read(uploaded(), 3), state=state) == [Reason.EVENT_ID_REUSED]


async def test_after_a_refused_event_its_id_is_free_for_the_corrected_one():
    state = {}
    wrong = uploaded(source="", content_sha256=b"x" * 32)
    assert await reasons(read(wrong), state=state) == [Reason.INVALID_EVENT]
    assert await reasons(read(uploaded(), 1), state=state) == [None]
    assert await reasons(read(uploaded(), 2), state=state) == []


async def test_corrected_without_other_bytes_it_is_no_repeat_either():
    assert await reasons(read(uploaded(source="")), read(uploaded(), 1)) == [Reason.INVALID_EVENT, None]


async def test_a_refused_event_sent_again_as_it_is_is_a_repeat():
    measure = Counted()
    records = [read(uploaded(source=""), n) for n in range(3)]
    assert await reasons(*records, measure=measure) == [Reason.INVALID_EVENT]
    assert measure.counts[(metrics.REPEATS.name,)] == 2


async def test_an_invalid_event_under_a_used_id_does_not_make_admit_forget_the_first():
    state = {}
    invalid = uploaded(source="", content_sha256=b"x" * 32)
    assert await reasons(read(uploaded()), read(invalid, 1), read(uploaded(), 2), state=state) == [
        None,
        Reason.INVALID_EVENT,
    ]


async def test_ids_are_forgotten_by_the_broker_s_clock():
    state = {}
    await admitting(read(uploaded()), state=state)
    assert await reasons(read(uploaded(), 1, at=NOON + MONTH), state=state) == []
    assert await reasons(read(uploaded(), 2, at=NOON + MONTH + timedelta(milliseconds=1)), state=state) == [None]


async def test_a_repeat_does_not_prolong_the_memory():
    state = {}
    for day in (0, 29):
        await admitting(read(uploaded(), at=NOON + timedelta(days=day)), state=state)
    assert await reasons(read(uploaded(), at=NOON + timedelta(days=31)), state=state) == [None]


async def test_what_is_remembered_names_nobody_and_fits_few_bytes():
    state = {}
    await admitting(read(uploaded()), read(uploaded(event_id="event-2", source=""), 1), state=state)
    assert len(state) == 2
    for key, value in state.items():
        assert (len(key), len(value)) == (16, 25)
        assert not any(word in key + value for word in (b"owner", b"event", uploaded().content_sha256[:8]))


async def test_under_another_key_nothing_is_remembered():
    state = {}
    await admitting(read(uploaded()), state=state)
    other = Rules(generation=1, partitions=8, remember=MONTH, hash_key=b"k" * 100, version="0.1.0")
    assert await reasons(read(uploaded(), 1), state=state, rules=other) == [None]


async def test_rejects_are_counted_by_reason():
    measure = Counted()
    await admitting(read(b"{}"), read(uploaded(source=""), 1), read(uploaded(), 2, key=b"x"), measure=measure)
    assert measure.counts == {
        (metrics.REJECTED.name, ("reason", "unreadable_event")): 1,
        (metrics.REJECTED.name, ("reason", "invalid_event")): 1,
        (metrics.REJECTED.name, ("reason", "wrong_partition")): 1,
    }


async def test_one_bad_record_stops_none_of_the_others():
    good = [read(uploaded(event_id=f"event-{n}"), n) for n in range(3)]
    bad = [read(b"{}", 3), read(uploaded(event_id="bad", source=""), 4), read(None, 5)]
    events = [event for _, _, event in await admitting(*good[:1], *bad, *good[1:])]
    assert [type(event).__name__ for event in events] == [
        "PhotoAdmitted",
        "DeadLetter",
        "PhotoRejected",
        "DeadLetter",
        "PhotoAdmitted",
        "PhotoAdmitted",
    ]
