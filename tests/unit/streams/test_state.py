from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from schemas.topics import TOMBSTONES_KEPT
from streams.claim import Changelog
from streams.state import Slot, Stateless, Store
from tests.support.clock import Clock

pytestmark = pytest.mark.unit

CHANGELOG = Changelog("changelog", "topic-id", 3)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def open_store(tmp_path, clock):
    """Opens the store of one folder, as the next process does after a kill."""
    opened = []

    def open_store(changelog=CHANGELOG):
        while opened:
            opened.pop()._db.close()
        opened.append(Store(tmp_path / "store", changelog, clock=clock))
        return opened[0]

    yield open_store
    opened[0].close()


def test_a_new_store_knows_nothing(open_store):
    store = open_store()
    assert store.offset == -1
    assert store.get_many([b"a", b"b"]) == [None, None]
    assert store.get_many([]) == []
    assert list(store.items()) == []


def test_values_come_in_the_order_of_the_keys(open_store):
    store = open_store()
    store.apply({b"a": b"1", b"b": b"", b"c": b"3"}, 7)
    assert store.get_many([b"c", b"nothing", b"a", b"b", b"c"]) == [b"3", None, b"1", b"", b"3"]


def test_none_deletes(open_store):
    store = open_store()
    store.apply({b"a": b"1", b"b": b"2"}, 7)
    store.apply({b"a": None}, 8)
    assert list(store.items()) == [(b"b", b"2")]


def test_what_was_applied_is_there_when_it_is_opened_again(open_store):
    open_store().apply({b"a": b"1"}, 7)
    store = open_store()
    assert (store.offset, store.get_many([b"a"])) == (7, [b"1"])


def test_a_changelog_made_anew_makes_the_store_worthless(open_store):
    open_store().apply({b"a": b"1"}, 7)
    store = open_store(Changelog("changelog", "another-id", 3))
    assert (store.offset, store.get_many([b"a"])) == (-1, [None])


def test_a_store_away_for_so_long_that_it_may_have_missed_deletions_is_worthless(open_store, clock):
    open_store().apply({b"a": b"1"}, 7)
    clock.now += TOMBSTONES_KEPT.total_seconds() / 2 - 1
    assert open_store().get_many([b"a"]) == [b"1"]
    clock.now += 1
    store = open_store()
    assert (store.offset, store.get_many([b"a"])) == (-1, [None])


@pytest.mark.parametrize("back", [False, True])
def test_a_store_of_another_format_is_worthless(open_store, back):
    other = replace(CHANGELOG, format=2)
    first, second = (other, CHANGELOG) if back else (CHANGELOG, other)
    open_store(first).apply({b"a": b"1"}, 7)
    store = open_store(second)
    assert (store.offset, store.get_many([b"a"]), list(store.items())) == (-1, [None], [])


def test_a_store_older_than_its_changelog_keeps_records_is_made_anew(open_store, clock):
    for_days = replace(CHANGELOG, kept=timedelta(days=3))
    for day in range(6):  # opened every half day: it was never away for long
        store = open_store(for_days)
        assert store.get_many([b"a"]) == [b"1" if day else None]
        store.apply({b"a": b"1"}, day)
        clock.now += 12 * 3600 - 1
    clock.now += 6
    store = open_store(for_days)
    assert (store.offset, store.get_many([b"a"])) == (-1, [None])


@pytest.mark.parametrize("kept", [None, timedelta(days=30)])
def test_whatever_is_opened_and_compacted_how_often_nothing_is_lost(open_store, kept):
    changelog = replace(CHANGELOG, kept=kept)
    for number in range(12):
        store = open_store(changelog)
        store.apply({b"%d" % number: b"1"}, number)
        store._db.flush()
        store._db.compact_range(None, None)
    assert len(list(open_store(changelog).items())) == 12


def test_changes_without_their_offset_are_an_error(open_store):
    with pytest.raises(ValueError, match="nobody knows the offset"):
        open_store().apply({b"a": b"1"}, None)


def test_what_is_kept_for_ever_stays_when_the_disk_is_compacted(open_store):
    store = open_store()
    store.apply({b"a": b"1"}, 7)
    store._db.flush()
    store._db.compact_range(None, None)
    assert open_store().get_many([b"a"]) == [b"1"]


def test_a_store_that_is_damaged_is_made_anew(tmp_path):
    folder = tmp_path / "store"
    with closing(Store(folder, CHANGELOG)) as store:
        store.apply({b"a": b"1"}, 7)
    (folder / "CURRENT").unlink()
    (folder / "000099.log").touch()
    with closing(Store(folder, CHANGELOG)) as store:
        assert (store.offset, store.get_many([b"a"])) == (-1, [None])


def test_who_is_killed_while_he_throws_a_store_away_leaves_none(tmp_path, monkeypatch):
    folder = tmp_path / "store"

    def killed(folder, **others):
        (folder / "CURRENT").unlink(missing_ok=True)
        if not others:
            raise KeyboardInterrupt

    with closing(Store(folder, CHANGELOG)) as store, monkeypatch.context() as patched:
        store.apply({b"a": b"1"}, 7)
        patched.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            store.clear()
        store._db = SimpleNamespace(close=int)
    with closing(Store(folder, CHANGELOG)) as store:
        assert store.offset == -1
        store.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_store_that_another_has_is_left_alone(tmp_path, open_store):
    open_store().apply({b"a": b"1"}, 7)
    with pytest.raises(Exception, match="lock"):
        Store(tmp_path / "store", CHANGELOG)
    assert open_store().offset == 7


def test_closing_it_says_nothing_of_whether_it_is_up_to_date(tmp_path, clock):
    store = Store(tmp_path, CHANGELOG, clock=clock)
    store.get_many([b"a"])
    store.apply({b"a": b"1"}, 7)
    clock.now += 11 * 3600
    store.close()
    clock.now += 11 * 3600
    assert Store(tmp_path, CHANGELOG, clock=clock).get_many([b"a"]) == [
        None
    ]  # half a day and more since it was looked into


def test_what_is_applied_late_is_as_old_as_the_look_that_it_comes_from(tmp_path, clock):
    store = Store(tmp_path, CHANGELOG, clock=clock)
    store.get_many([b"a"])
    clock.now += 13 * 3600  # asleep behind its commit
    store.apply({b"a": b"1"}, 7)
    store.close()
    assert Store(tmp_path, CHANGELOG, clock=clock).get_many([b"a"]) == [None]


def test_two_workers_on_one_folder_get_a_slot_each_and_the_first_free_one_is_taken_again(tmp_path):
    one, two = Slot(tmp_path / "state"), Slot(tmp_path / "state")
    assert (one.number, two.number) == (0, 1)
    assert one.folder != two.folder
    one.close()
    three = Slot(tmp_path / "state")
    assert three.number == 0
    two.close()
    three.close()


def test_an_agent_without_a_changelog_has_nowhere_to_keep_changes():
    state = Stateless()
    assert state.get_many([b"a", b"b"]) == [None, None]
    state.apply({}, None)
    with pytest.raises(ValueError, match="changelog"):
        state.apply({b"a": b"1"}, 3)
