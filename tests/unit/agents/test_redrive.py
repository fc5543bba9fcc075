"""admit and redrives: what is legal, how often it counts, and what nobody can do with it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agents.redrive import lineage, lineage_of_refused
from schemas import metrics
from schemas.errors import Reason, Rejected
from schemas.events import PhotoAdmitted, Redrive, Root
from schemas.partitioning import partition_of
from schemas.redrive import redriven
from tests.support.batches import Counted
from tests.support.builders import NOON, uploaded
from tests.unit.agents.test_admit import MONTH, OWN, admitting, read, reasons

pytestmark = pytest.mark.unit

ROOT = Root(1, OWN, 5)
HERE = Root(1, OWN, 9)
ONCE = redriven(uploaded(), Redrive(ROOT, 1))


def carrying(**fields):
    """A redrive, its id made as it has to be, that carries another root or attempt."""
    return redriven(uploaded(), replace(ONCE.redrive, **fields))


ILLEGAL = {
    "younger": (carrying(root=Root(1, OWN, 10)), "offset 10, is not older than the event, offset 9"),
    "itself": (carrying(root=HERE), "offset 9, is not older"),
    "negative": (carrying(root=Root(1, OWN, -1)), "offset -1, is not older"),
    "another partition": (carrying(root=Root(1, (OWN + 1) % 8, 5)), f"partition {(OWN + 1) % 8} of generation 1"),
    "an earlier topic": (carrying(root=Root(0, OWN, 5)), "generation 0, and it came in"),
    "a later topic": (carrying(root=Root(2, OWN, 5)), "generation 2, and it came in"),
    "no attempt": (carrying(attempt=0), "its attempt is 0, outside 1 to 3"),
    "a fourth attempt": (carrying(attempt=4), "its attempt is 4, outside 1 to 3"),
    "an id of its own": (replace(ONCE, event_id="event-1"), f"its event_id is not redrive-1-{OWN}-5-1"),
    "another's id": (replace(ONCE, event_id=carrying(attempt=2).event_id), "its event_id is not"),
}


@pytest.mark.parametrize(("event", "says"), ILLEGAL.values(), ids=ILLEGAL)
async def test_what_is_no_redrive_is_rejected_and_says_why(event, says):
    with pytest.raises(Rejected, match=says):
        lineage(event, HERE)
    assert lineage_of_refused(event, HERE) == (HERE, 0)
    [(_, _, rejected)] = await admitting(read(event, HERE.offset))
    assert (rejected.reason, rejected.root, rejected.attempt) == (Reason.INVALID_REDRIVE, HERE, 0)
    assert says in rejected.detail


async def test_an_upload_stems_from_itself():
    assert lineage(uploaded(), HERE) == (HERE, 0)


@pytest.mark.parametrize("attempt", [1, 2, 3])
async def test_a_redrive_is_admitted_with_the_root_and_attempt_that_it_carries(attempt):
    event = carrying(attempt=attempt)
    [(_, _, photo)] = await admitting(read(event, HERE.offset))
    assert isinstance(photo, PhotoAdmitted)
    assert (photo.root, photo.attempt, photo.fill) == (ROOT, attempt, 0)
    assert (photo.event_id, photo.photo_id) == (event.event_id, uploaded().photo_id)


async def test_of_an_upload_that_is_known_it_is_no_repeat_but_of_itself_it_is():
    measure = Counted()
    records = [read(uploaded(), 5), *(read(ONCE, offset) for offset in (6, 7, 8))]
    first, again = [event for _, _, event in await admitting(*records, measure=measure)]
    assert (first.root, first.attempt, again.root, again.attempt) == (ROOT, 0, ROOT, 1)
    assert measure.counts[(metrics.REPEATS.name,)] == 2


async def test_each_attempt_is_one_of_its_own():
    assert await reasons(*(read(carrying(attempt=n), 5 + n) for n in (1, 2, 3))) == [None, None, None]


async def test_what_is_still_wrong_with_the_upload_is_its_outcome_and_counts_as_that_attempt():
    wrong = redriven(uploaded(source=""), ONCE.redrive)
    [(_, _, rejected)] = await admitting(read(wrong, 6), read(wrong, 7))
    assert (rejected.reason, rejected.root, rejected.attempt) == (Reason.INVALID_EVENT, ROOT, 1)


async def test_an_upload_under_its_id_does_not_keep_it_out():
    """Whoever publishes first what the command will publish next."""
    state = {}
    squatter = uploaded(event_id=ONCE.event_id, content_sha256=b"x" * 32)
    assert await reasons(read(squatter, 6), read(ONCE, 7), state=state) == [None, None]
    # Nor do redrives of the same root with another photo or other bytes.
    others = [replace(ONCE, content_sha256=b"x" * 32), replace(ONCE, photo_id="another")]
    assert await reasons(*(read(other, 6 + n) for n, other in enumerate(others)), read(ONCE, 8)) == [None, None, None]


async def test_nor_does_one_of_another_owner():
    owner = next(f"owner-{n}" for n in range(2, 100) if partition_of(f"owner-{n}".encode(), 8) == OWN)
    assert await reasons(read(replace(ONCE, owner_id=owner), 6), read(ONCE, 7)) == [None, None]


async def test_one_that_was_illegal_does_not_keep_out_the_legal_one():
    early = read(ONCE, ROOT.offset)
    assert await reasons(early, read(ONCE, 6), read(ONCE, 7)) == [Reason.INVALID_REDRIVE, None]


async def test_in_a_wrong_partition_it_is_rejected_for_that():
    assert await reasons(read(ONCE, 9), partition=(OWN + 1) % 8) == [Reason.WRONG_PARTITION]


async def test_it_is_forgotten_like_an_upload():
    state = {}
    assert await reasons(read(ONCE, 6), state=state) == [None]
    assert {len(value) for value in state.values()} == {25}
    assert await reasons(read(ONCE, 7, at=NOON + MONTH + timedelta(milliseconds=1)), state=state) == [None]
