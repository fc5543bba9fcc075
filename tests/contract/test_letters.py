"""Dead letters as an operator asks for them, on ClickHouse's engine."""

from datetime import UTC, datetime, timedelta

import pytest

from agents.store import store
from schemas.errors import Reason
from schemas.events import Root
from schemas.topics import DEAD_LETTER, GROUPED
from sinks.clickhouse.letters import Count, Place, Which, counts, newest, one_a_photo
from sinks.clickhouse.writer import ClickHouseWriter
from tests.support.batches import Counted, batch
from tests.support.builders import dead_letter, enriched, grouped, rejected

pytestmark = pytest.mark.contract

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
async def holding(client, connection):
    """A client of a database that has these events."""
    writer = await ClickHouseWriter.over(connection, client.database)

    async def holding(*outcomes, letters=()):
        for topic, events in ((GROUPED, [grouped(o) for o in outcomes]), (DEAD_LETTER, letters)):
            for rows in store(batch(topic, *events, at=NOW), measure=Counted()) if events else ():
                await writer.insert(rows.table, writer.prepare(rows), f"{rows.table.name}{datetime.now(UTC)}")
        return client

    return holding


def letter(photo="a", offset=1, attempt=0, *, ago=0, fill=0, reason=Reason.OBJECT_MISSING, owner="ada", partition=3):
    return rejected(
        photo_id=photo,
        owner_id=owner,
        root=Root(1, partition, offset),
        attempt=attempt,
        fill=fill,
        reason=reason,
        rejected_at=NOW - timedelta(hours=ago),
    )


def look(photo="a", offset=1, attempt=0, owner="ada"):
    return enriched(photo_id=photo, owner_id=owner, root=Root(1, 3, offset), attempt=attempt)


def names(letters):
    return [(letter.photo_id, letter.name, letter.attempt) for letter in letters]


async def test_without_letters_there_is_nothing(holding):
    client = await holding()
    assert counts(client, Which()) == []
    assert newest(client, Which(), 10) == []
    assert list(one_a_photo(client, Which())) == []


async def test_they_are_counted_by_reason_and_open_is_what_a_redrive_can_still_help(holding):
    client = await holding(
        letter("seen", 1),
        look("seen", 1, attempt=1),
        letter("thrice", 2, ago=4),
        letter("thrice", 2, 3, ago=3),
        letter("open", 3, reason=Reason.DAMAGED_PHOTO),
        letter("again", 4, ago=2),
        letter("again", 5, ago=1),
        letter("replaced", 6),
        look("replaced", 5),
        letter("astray", 7, reason=Reason.WRONG_PARTITION),
        letters=[dead_letter(rejected_at=NOW)],
    )
    assert counts(client, Which()) == [
        Count(Reason.OBJECT_MISSING, 6, 2, NOW),  # again 1-3-5, replaced
        Count(Reason.DAMAGED_PHOTO, 1, 1, NOW),
        Count(Reason.UNREADABLE_EVENT, 1, 0, NOW),
        Count(Reason.WRONG_PARTITION, 1, 0, NOW),
    ]


async def test_a_letter_knows_the_newest_of_its_photo_and_what_was_seen(holding):
    client = await holding(letter("a", 5, 0, ago=2), letter("a", 5, 1, ago=1, fill=2), look("a", 4))
    newer, older = newest(client, Which(), 10)
    assert (older.root, older.attempt, newer.attempt, newer.fill) == (Root(1, 3, 5), 0, 1, 2)
    assert older.latest == newer.latest == newer.place == Place(1, 5, 1, 2)
    assert older.seen == newer.seen == Place(1, 4, 0, 0)
    assert (older.rejected_at, older.detail) == (NOW - timedelta(hours=2), letter().detail)
    assert older.advice == Reason.OBJECT_MISSING.advice


async def test_of_bytes_that_are_nobody_s_nothing_else_is_known(holding):
    client = await holding(letters=[dead_letter(root=Root(1, 2, n), rejected_at=NOW) for n in range(3)])
    found = list(one_a_photo(client, Which()))
    assert [each.name for each in found] == ["1-2-0", "1-2-1", "1-2-2"]
    assert {(each.owner_id, each.latest, each.seen) for each in found} == {("", Place(0, 0, 0, 0), Place(0, 0, 0, 0))}


async def test_one_a_photo_is_its_newest_and_what_is_apart_hides_none(holding):
    client = await holding(
        letter("a", 1, 0),
        letter("a", 1, 2),
        letter("a", 1, 1),
        letter("a", 9, reason=Reason.WRONG_PARTITION, partition=4),
        letter("a", 8, reason=Reason.INVALID_REDRIVE),
        letter("b", 2),
        letter("b", 0),
    )
    assert names(one_a_photo(client, Which())) == [
        ("a", "1-3-1", 2),
        ("b", "1-3-2", 0),
        ("a", "1-3-8", 0),
        ("a", "1-4-9", 0),
    ]
    [a] = one_a_photo(client, Which(name="1-3-1"))
    assert a.latest == a.place


@pytest.mark.parametrize("page", [1, 2, 3, 100])
async def test_pages_leave_none_out_and_none_twice(holding, page):
    client = await holding(*(letter(f"p{n}", n % 3, owner=f"owner-{n % 2}") for n in range(7)))
    whole = names(one_a_photo(client, Which()))
    assert len(set(whole)) == 7
    assert names(one_a_photo(client, Which(), page=page)) == whole


async def test_what_comes_meanwhile_of_an_upload_that_was_passed_is_left_out(holding):
    client = await holding(letter("a", 1), letter("b", 2))
    letters = one_a_photo(client, Which(), page=1)
    first = next(letters)
    await holding(letter("a", 1, 1))
    assert names([first, *letters]) == [("a", "1-3-1", 0), ("b", "1-3-2", 0)]


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (Which(), "dcba"),
        (Which(reasons=[Reason.DAMAGED_PHOTO]), "d"),
        (Which(reasons=[Reason.DAMAGED_PHOTO, Reason.OBJECT_MISSING]), "dcba"),
        (Which(since=NOW - timedelta(hours=1)), "dcb"),
        (Which(until=NOW - timedelta(hours=1)), "a"),
        (Which(since=NOW - timedelta(hours=1), until=NOW), "b"),
        (Which(owner="bob"), "c"),
        (Which(owner="o'r\\eilly"), ""),
        (Which(photo="b"), "b"),
        (Which(name="b"), "b"),
        (Which(name="1-3-3"), "c"),
        (Which(name="1-3-4", owner="ada"), "d"),
        (Which(name="1-3-4", owner="bob"), ""),
    ],
)
async def test_they_are_asked_for_by_reason_time_owner_photo_and_root(holding, which, found):
    client = await holding(
        letter("a", 1, ago=2),
        letter("b", 2, ago=1),
        letter("c", 3, owner="bob"),
        letter("d", 4, reason=Reason.DAMAGED_PHOTO),
    )
    assert sorted((each.photo_id for each in newest(client, which, 10)), reverse=True) == list(found)
    assert sorted((each.photo_id for each in one_a_photo(client, which)), reverse=True) == list(found)
    assert sum(each.letters for each in counts(client, which)) == len(found)


async def test_the_newest_come_first_and_no_more_than_asked(holding):
    client = await holding(letter("a", 1, ago=2), letter("b", 2, ago=1), letter("c", 3))
    assert [each.photo_id for each in newest(client, Which(), 2)] == ["c", "b"]
