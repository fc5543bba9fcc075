"""What of the dead letters is published once more, and what is not and why."""

from dataclasses import replace

import pytest

from ops.redrive import Skip, Tally, redrive, skip_of, upload_of
from schemas import codec
from schemas.errors import Reason
from schemas.events import Redrive, Root
from schemas.partitioning import partition_of
from schemas.redrive import redriven
from sinks.clickhouse.letters import Letter, Place
from tests.support.builders import NOON, admitted, uploaded

pytestmark = pytest.mark.unit

OWN = partition_of(b"owner-1", 8)
NOTHING = Place(0, 0, 0, 0)


def letter(offset=42, attempt=0, **fields):
    given = {
        "reason": Reason.OBJECT_MISSING,
        "detail": "there is nothing",
        "advice": "",
        "stage": "enrich",
        "owner_id": "owner-1",
        "photo_id": "photo-1",
        "event_id": "event-1",
        "object_uri": "",
        "source": "test",
        "payload_bytes": 0,
        "rejected_at": NOON,
        "worker_version": "0.1.0",
        "root": Root(1, OWN, offset),
        "attempt": attempt,
        "fill": 0,
        "seen": NOTHING,
    } | fields
    root = given["root"]
    given.setdefault("latest", Place(root.generation, root.offset, given["attempt"], given["fill"]))
    return Letter(**given)


def skipped(given, generation=1):
    return skip_of(given, generation=generation, partitions=8)


class Log:
    """photos.events, of this partition."""

    def __init__(self, **records):
        self.records = {int(name.removeprefix("at_")): value for name, value in records.items()}

    def at(self, partition, offset):
        assert partition == OWN
        return self.records.get(offset)


def running(*letters, log, **more):
    published, tally = [], Tally()
    redrive(letters, uploads=log, publish=published.append, tally=tally, generation=1, partitions=8, **more)
    return published, tally


UPLOAD = codec.encode(uploaded())


@pytest.mark.parametrize("attempt", [0, 1, 2])
def test_an_upload_is_published_as_it_was_under_the_id_of_its_next_attempt(attempt):
    [event], tally = running(letter(attempt=attempt), log=Log(at_42=UPLOAD))
    assert event == redriven(uploaded(), Redrive(Root(1, OWN, 42), attempt + 1))
    assert tally.counts == {"sent": 1}


@pytest.mark.parametrize(
    ("given", "skip"),
    [
        (letter(), None),
        (letter(seen=Place(1, 41, 3, 0)), None),
        (letter(seen=Place(1, 42, 1, 0)), Skip.SEEN),
        (letter(seen=Place(1, 43, 0, 0)), Skip.SEEN),
        (letter(seen=Place(1, 43, 0, 0), latest=Place(1, 44, 0, 0)), Skip.SEEN),
        (letter(latest=Place(1, 42, 1, 0)), Skip.REDRIVEN),
        (letter(latest=Place(1, 43, 0, 0)), Skip.SUPERSEDED),
        (letter(attempt=3), Skip.USED_UP),
        (letter(owner_id="", photo_id=""), Skip.NOBODY),
        (letter(reason=Reason.WRONG_PARTITION), Skip.NO_PHOTO),
        (letter(reason=Reason.INVALID_REDRIVE), Skip.NO_PHOTO),
        (letter(root=Root(1, (OWN + 1) % 8, 42)), Skip.NO_PHOTO),
        (letter(root=Root(0, OWN, 42)), Skip.GONE),
        (letter(reason=Reason.EVENT_ID_REUSED), None),
        (letter(reason="of_a_newer_worker"), None),
    ],
)
def test_what_clickhouse_knows_decides_first(given, skip):
    assert skipped(given) is skip


@pytest.mark.parametrize(
    ("value", "skip"),
    [
        (None, Skip.GONE),
        (b"", Skip.GONE),
        (codec.encode(admitted()), Skip.GONE),
        (codec.encode(uploaded(photo_id="another")), Skip.GONE),
        (codec.encode(uploaded(owner_id="another")), Skip.GONE),
        (codec.encode(redriven(uploaded(), Redrive(Root(1, OWN, 3), 1))), Skip.NO_PHOTO),
    ],
)
def test_then_the_record_at_its_root(value, skip):
    assert upload_of(letter(), value) is skip


def test_what_is_not_sent_is_counted_by_why():
    letters = [letter(1), letter(2, attempt=3), letter(3, attempt=3), letter(4), letter(5, owner_id="")]
    published, tally = running(*letters, log=Log(at_1=UPLOAD))
    assert len(published) == 1
    assert tally.counts == {
        "sent": 1,
        "skipped_gone": 1,
        "skipped_nobody": 1,
        "skipped_retries_used_up": 2,
    }


def test_no_more_than_the_limit_are_sent_whatever_is_skipped_on_the_way():
    letters = [letter(1, attempt=3), *(letter(n) for n in range(2, 6))]
    published, tally = running(*letters, log=Log(**{f"at_{n}": UPLOAD for n in range(1, 6)}), limit=2)
    assert [event.redrive.root.offset for event in published] == [2, 3]
    assert tally.counts == {"sent": 2, "skipped_retries_used_up": 1}


def test_they_are_sent_no_faster_than_the_rate():
    now, waits = [100.0], []

    def sleep(seconds):
        waits.append(seconds)
        now[0] += seconds

    log = Log(**{f"at_{n}": UPLOAD for n in range(4)})
    running(*(letter(n) for n in range(4)), log=log, rate=2, clock=lambda: now[0], sleep=sleep)
    assert waits == [0.0, 0.5, 0.5, 0.5]


def test_what_the_broker_did_not_take_is_not_counted():
    tally = Tally()

    def publish(event):
        raise KeyError

    with pytest.raises(KeyError):
        redrive([letter()], uploads=Log(at_42=UPLOAD), publish=publish, tally=tally, generation=1, partitions=8)
    assert tally.sent == 0


def test_every_reason_to_skip_says_what_it_is():
    assert all(skip.words.endswith(".") for skip in Skip)
    assert replace(letter()).name == f"1-{OWN}-42"
