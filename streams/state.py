"""A partition's state: a local RocksDB, made durable by a compacted changelog that only the partition's owner writes.

A store may lag behind its changelog, never run ahead of it: changes are applied after their commit, in one write with a mark
that says how far the store has come, and when it was last known to lack nothing. So opening it again reads only what it missed. A
store that cannot be sure of itself is thrown away: Kafka has everything.

**Memory that is bounded by time.** Where a changelog keeps its records for a time only (schemas/topics.py), a store that is older
than that is thrown away when it is opened, and restored: it holds nothing then that the changelog has forgotten, and never more than
twice that time. What is expired is for the agent to say, by the timestamps of records; nobody may take what he finds for what is
remembered. (Not by RocksDB's own time to live: as rocksdict 0.3.29 opens it, a compaction drops entries whose time has not come.)

**Formats.** The changelog's format (schemas/topics.py) says how its values are read, and travels with every commit in the
position's note. An agent whose format rises reads the older one too, since a changelog holds both until all is rewritten. In a
rolling upgrade workers of both versions share the group: the older have their partitions as long as the newer have not committed
there; once these have, an older one that is given such a partition refuses it and ends, is started again, and refuses until it
is upgraded or the group gives the partition to a newer one. So nobody reads what he does not know; partitions may wait while the
upgrade lasts; and the way back ends at the first commit (but for `safelight offsets accept AGENT --forget`, which begins with no
state). A local store is of one format: another is thrown away and restored.
"""

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

from rocksdict import BlockBasedOptions, Options, Rdict, WriteBatch

from schemas.topics import TOMBSTONES_KEPT
from streams.changelog import changes_from
from streams.claim import Changelog, Claim
from streams.standalone import log_of, reading
from streams.standing import expired
from streams.step import Reached, Step, unwatched

_MARK = b"\0mark"  # no key of an agent: those are hashes

_LONGEST_AWAY = TOMBSTONES_KEPT / 2
"""A store away for longer could miss deletions that compaction forgot; half, since the two clocks may differ."""


class Stateless:
    """The state of an agent that remembers nothing."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Nothing."""
        return [None] * len(keys)

    def apply(self, changes: Mapping[bytes, bytes | None], offset: int | None) -> None:  # noqa: ARG002 (as Store)
        """Raises ValueError: there is nowhere to keep changes."""
        if changes:
            raise ValueError("an agent without a changelog has changed its state")

    def close(self) -> None:
        """Nothing to close."""


class Store:
    """The local copy of one changelog partition, in a folder of its own.

    `offset` is the last record of the changelog that it includes, -1 when it is empty.
    """

    def __init__(self, folder: Path, changelog: Changelog, *, clock: Callable[[], float] = time.time) -> None:
        self.changelog = changelog
        self._folder = folder
        self.clock = clock
        try:
            self._db = _open(folder)
        except Exception as error:  # rocksdict raises nothing more telling
            if not str(error).startswith("Corruption"):  # what is wrong is the disk, or another has it
                raise
            _throw_away(folder)
            self._db = _open(folder)
        self._born = self._complete = clock()
        self.offset = self._trusted()
        if self.offset < 0:
            self.clear()

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where there is none, in the order of the keys."""
        # If what comes of it is committed, the partition was ours by now, and nothing was missing.
        self._complete = self.clock()
        values: list[bytes | None] = self._db.get(list(keys)) if keys else []  # type: ignore[assignment]  # raw mode
        return values

    def apply(self, changes: Mapping[bytes, bytes | None], offset: int | None) -> None:
        """Write changes (None deletes) that are committed to the changelog up to `offset`, all or none; no offset, no changes."""
        if offset is None:
            if changes:
                raise ValueError("changes that nobody knows the offset of: the state would run behind unnoticed")
            return
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        mark = {
            "topic": self.changelog.topic_id,
            "format": self.changelog.format,
            "offset": offset,
            "at": self._complete,
            "born": self._born,
        }
        batch.put(_MARK, json.dumps(mark).encode())
        self._db.write(batch)
        self.offset = offset

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Everything that it holds, by key."""
        return ((bytes(key), value) for key, value in self._db.items() if key != _MARK)  # type: ignore[arg-type]  # raw mode

    def clear(self) -> None:
        """Begin again with nothing."""
        self._db.close()
        _throw_away(self._folder)
        self._db = _open(self._folder)
        self._born = self._complete = self.clock()
        self.offset = -1

    def complete(self, when: float) -> None:
        """Note that it had all that the changelog had at a time, in seconds since 1970."""
        self._complete = when
        if self.offset >= 0:
            self.apply({}, self.offset)

    def close(self) -> None:
        """Close it. That says nothing of whether it is up to date: somebody else may have had the partition for long."""
        self._db.close()

    def _trusted(self) -> int:
        """How far it has come, -1 if it is not to be trusted."""
        mark = json.loads(self._db.get(_MARK) or b"{}")
        if not mark or mark["topic"] != self.changelog.topic_id or mark.get("format") != self.changelog.format:
            return -1
        now, kept = self.clock(), self.changelog.kept
        away, old = now - mark["at"], now - mark["born"]
        if away >= _LONGEST_AWAY.total_seconds() or (kept and old >= kept.total_seconds()):
            return -1
        self._born, self._complete = mark["born"], mark["at"]
        return int(mark["offset"])


def restored(folder: Path, claim: Claim, changelog: Changelog, brokers: str, *, reached: Reached = unwatched) -> Store:
    """The store in a folder, brought up to the end of its changelog. Blocking; for the owner of the partition alone.

    Raises StrangeWorld when the partition has no committed position, and yet a state.
    """
    store = Store(folder, changelog)
    restore(store, brokers, reached)
    if not claim.committed and next(store.items(), None):
        store.close()
        raise claim.refusal(expired(changelog.topic))
    return store


def restore(store: Store, brokers: str, reached: Reached = unwatched) -> int:
    """Bring a store up to the end of its changelog and return how many changes that took. Blocking.

    Only for the partition's owner: nobody else writes the changelog then.
    """
    read, began = 0, store.clock()
    with reading(brokers) as consumer:
        begin, end = log_of(consumer, store.changelog.topic, store.changelog.partition)
        if store.offset >= end:  # the changelog has lost its end
            store.clear()
        parts = changes_from(consumer, store.changelog, store.offset + 1, end) if begin < end else ()
        for changes, last in parts:
            store.apply(changes, last)
            read += len(changes)
            reached(Step.RESTORING)
    store.complete(began)
    return read


class Slot:
    """The first of parent/0, parent/1, … that no other process has: ours until this process ends, however it ends."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        for number in count():
            lock = (parent / f"{number}.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            self.number = number
            self.folder = parent / str(number)
            self._lock = lock
            return

    def close(self) -> None:
        """Let another have it."""
        self._lock.close()


def _throw_away(folder: Path) -> None:
    """Out of the way in one step first: who is killed half-way leaves nothing that looks like a store."""
    aside = folder.with_name(f"{folder.name}.thrown-away")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside)


def _open(folder: Path) -> Rdict:
    options = Options(raw_mode=True)
    # A worker has a store a partition: what is 64 MB by default is 8 here.
    options.set_write_buffer_size(8 << 20)
    options.set_keep_log_file_num(1)
    blocks = BlockBasedOptions()
    blocks.set_bloom_filter(10, block_based=False)  # most keys that are asked for are new
    options.set_block_based_table_factory(blocks)
    folder.mkdir(parents=True, exist_ok=True)
    return Rdict(str(folder), options)
