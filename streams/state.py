"""A partition's state: a local RocksDB, made durable by a compacted changelog that only the partition's owner writes.

A store may lag behind its changelog, never run ahead of it: changes are applied after their commit, in one write with a mark
that says how far the store has come. So opening it again reads only what it missed. A store that cannot be sure of itself is
thrown away: Kafka has everything.
"""

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from rocksdict import BlockBasedOptions, Options, Rdict, WriteBatch

from schemas.errors import StrangeWorld
from streams.patience import answer
from streams.step import Reached, Step, unwatched

_MARK = b"\0mark"  # no key of an agent: those are hashes

# Half of the broker's delete.retention.ms (a day): a store away for longer could miss deletions that compaction forgot.
_LONGEST_AWAY_SECONDS = 12 * 3600
_AT_ONCE = 20_000  # records of a changelog taken together
_BRIEFLY_SECONDS = 0.02  # which are waited out at a changelog's end too: the partition waits with it
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Changelog:
    """One partition of a changelog topic; `topic_id` is the broker's id of the topic."""

    topic: str
    topic_id: str
    partition: int


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
        self._clock = clock
        self._db = _open(folder)
        mark = self._mark()
        if mark and not self._trusts(mark):
            self._db.close()
            shutil.rmtree(folder)
            self._db = _open(folder)
            mark = {}
        self.offset: int = mark.get("offset", -1)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where there is none, in the order of the keys."""
        values: list[bytes | None] = self._db.get(list(keys)) if keys else []  # type: ignore[assignment]  # raw mode
        return values

    def apply(self, changes: Mapping[bytes, bytes | None], offset: int | None) -> None:
        """Write changes (None deletes) that are committed to the changelog up to `offset`, all or none."""
        if offset is None:
            return
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        mark = {"topic": self.changelog.topic_id, "offset": offset, "at": self._clock()}
        batch.put(_MARK, json.dumps(mark).encode())
        self._db.write(batch)
        self.offset = offset

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Everything that it holds, by key."""
        return ((bytes(key), value) for key, value in self._db.items() if key != _MARK)  # type: ignore[arg-type]  # raw mode

    def close(self) -> None:
        """Close it, as of now up to date."""
        if self.offset >= 0:
            self.apply({}, self.offset)
        self._db.close()

    def _mark(self) -> dict[str, int]:
        return dict(json.loads(self._db.get(_MARK) or b"{}"))

    def _trusts(self, mark: Mapping[str, object]) -> bool:
        away = self._clock() - float(str(mark["at"]))
        return mark["topic"] == self.changelog.topic_id and away < _LONGEST_AWAY_SECONDS


def restored(folder: Path, changelog: Changelog, brokers: str, *, began: bool, reached: Reached = unwatched) -> Store:
    """The store in a folder, brought up to the end of its changelog. Blocking; for the owner of the partition alone.

    `began`: whether the partition has a committed position. Raises StrangeWorld when it has none, and yet a state.
    """
    store = Store(folder, changelog)
    restore(store, brokers, reached)
    if not began and next(store.items(), None):
        store.close()
        raise StrangeWorld(
            f"{changelog.topic}-{changelog.partition} remembers records, and its group has no position any more (it expired, or was "
            f"deleted): to begin anew, delete {changelog.topic} and run `safelight topics --create`"
        )
    return store


def restore(store: Store, brokers: str, reached: Reached = unwatched) -> int:
    """Bring a store up to the end of its changelog and return how many records that took. Blocking.

    Only for the partition's owner: nobody else writes the changelog then.
    """
    read = 0
    config = {
        "bootstrap.servers": brokers,
        "group.id": "-",  # required, and never used: nothing is committed
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        # The end may be a transaction's marker, which is never delivered: only the broker can say that it is reached.
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",  # compaction may have removed the very record that comes next
        "fetch.wait.max.ms": 50,
        "fetch.queue.backoff.ms": 5,  # the default of a second makes a restore four times as slow
        "log_level": 0,
    }
    changelog = store.changelog
    with closing(Consumer(config)) as consumer:
        here = TopicPartition(changelog.topic, changelog.partition, store.offset + 1)
        low, high = answer(lambda: consumer.get_watermark_offsets(here, _TIMEOUT_SECONDS))
        if low == high or store.offset + 1 >= high:
            return 0
        consumer.assign([here])
        done = False
        while not done:
            changes: dict[bytes, bytes | None] = {}
            last = store.offset
            for message in consumer.consume(_AT_ONCE, _BRIEFLY_SECONDS):
                error = message.error()
                if error is None:
                    changes[message.key() or b""] = message.value()
                    last = _offset(message)
                    read += 1
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (the name confluent_kafka gives it)
                    last = _offset(message) - 1
                    done = True
                else:
                    raise KafkaException(error)
            if last > store.offset:
                store.apply(changes, last)
                reached(Step.RESTORING)
    return read


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None  # noqa: S101 (for mypy: only a message that was not read has none)
    return offset


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
