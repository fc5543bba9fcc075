"""Kafka in memory, as far as exactly once rests on it: logs, transactions, fences, positions with a note, compaction.

What it stands for, and where that is written down:

- a transactional id has an epoch; init_transactions raises it, aborts what was left open, and whoever has an older epoch can
  append and commit nothing (KIP-98, KIP-360); a transaction left open for too long is aborted, and fenced too (KIP-447, KIP-890)
- the records of a transaction lie in the log at once; its end appends a marker, which has an offset and is never delivered; a
  reader of committed records sees nothing behind the first open transaction, and nothing that was aborted (KIP-98)
- positions that are sent in a transaction, with their notes, count from its commit on, and a reader of committed positions waits
  for transactions that hold some (KIP-447)
- compaction keeps the last committed record of each key, removes what was aborted, leaves gaps and the last offset alone; deletions
  are forgotten after delete.retention.ms (Kafka's documentation, "Log compaction"); retention takes the log's beginning away

The names that the streams package uses of confluent_kafka are in tests/support/fake_kafka_clients.py.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count

DELETE_RETENTION_SECONDS = 24 * 3600.0
"""A topic's delete.retention.ms: Kafka's default."""


class Fenced(Exception):  # noqa: N818 (Kafka's word)
    """An epoch that another has raised since."""


@dataclass
class Transaction:
    """What is open under a transactional id."""

    partitions: set["Log"] = field(default_factory=set)
    positions: dict[tuple[str, str, int], tuple[int, str]] = field(default_factory=dict)


@dataclass(eq=False)
class Entry:
    """One offset of a log: a record, or (without a key) the marker at a transaction's end."""

    offset: int
    key: bytes | None
    value: bytes | None
    at: float
    within: Transaction | None  # while it is open
    aborted: bool = False


class Log:
    """One partition of a topic."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.history: list[Entry] = []  # compaction or not
        self.low = 0
        self.next = 0

    def append(self, key: bytes | None, value: bytes | None, at: float, within: Transaction | None = None) -> int:
        entry = Entry(self.next, key, value, at, within)
        self.entries.append(entry)
        self.history.append(entry)
        self.next += 1
        return self.next - 1

    @property
    def stable(self) -> int:
        """The offset of the first record whose transaction is open, else the log's end."""
        return next((entry.offset for entry in self.entries if entry.within), self.next)

    def committed(self) -> list[Entry]:
        """Every record ever committed, those behind an open transaction too: what readers will have seen in the end."""
        return [entry for entry in self.history if entry.key is not None and not entry.within and not entry.aborted]

    def readable(self, offset: int, *, uncommitted: bool) -> tuple[list[Entry], int]:
        """The records that a reader gets from an offset on, and the end up to which that is all."""
        end = self.next if uncommitted else self.stable
        records = [entry for entry in self.entries if offset <= entry.offset < end and entry.key is not None]
        return [entry for entry in records if uncommitted or not entry.aborted], end

    def close(self, transaction: Transaction, *, commit: bool, at: float) -> None:
        """Write the marker at a transaction's end."""
        for entry in self.entries:
            if entry.within is transaction:
                entry.within, entry.aborted = None, not commit
        self.append(None, None, at)

    def compact(self, now: float) -> None:
        """What the cleaner does up to the first open transaction; the end of the log is never touched."""
        stable = self.stable
        latest = {entry.key: entry.offset for entry in self.committed() if entry.offset < stable}

        def stays(entry: Entry) -> bool:
            if entry.offset >= min(stable, self.next - 1) or entry.key is None:
                return True
            if entry.aborted or entry.offset < latest[entry.key]:
                return False
            return entry.value is not None or now - entry.at < DELETE_RETENTION_SECONDS

        self.entries = [entry for entry in self.entries if stays(entry)]

    def expire(self, before: float) -> None:
        """What retention does: the log's beginning goes, as far as it is older."""
        self.low = next((entry.offset for entry in self.entries if entry.at >= before or entry.within), self.next)
        self.entries = [entry for entry in self.entries if entry.offset >= self.low]

    def lose(self, offsets: int) -> None:
        """What an election of a leader that was behind does: the log's end goes."""
        self.next = max(self.low, self.next - offsets)
        self.entries = [entry for entry in self.entries if entry.offset < self.next]
        self.history = [entry for entry in self.history if entry.offset < self.next]


class Broker:
    """The broker, and the coordinators of transactions and groups. Its clock is an argument: seconds."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.clock = clock
        self._logs: dict[tuple[str, int], Log] = {}
        self._epochs: dict[str, int] = {}
        self._open: dict[str, Transaction] = {}
        self.positions: dict[tuple[str, str, int], tuple[int, str]] = {}  # (group, topic, partition): offset and note
        self._feeder = map("feeder-{}".format, count())

    def log(self, topic: str, partition: int = 0) -> Log:
        return self._logs.setdefault((topic, partition), Log())

    def make_anew(self, topic: str, partition: int = 0) -> None:
        """Delete a topic, and make it again under the same name."""
        self._logs[topic, partition] = Log()

    # Transactions

    def init(self, identity: str) -> int:
        """The new epoch of a transactional id."""
        self._end(identity, commit=False)
        self._epochs[identity] = self._epochs.get(identity, -1) + 1
        return self._epochs[identity]

    def _transaction(self, identity: str, epoch: int) -> Transaction:
        if self._epochs[identity] != epoch:
            raise Fenced(identity)
        return self._open.setdefault(identity, Transaction())

    def append(self, identity: str, epoch: int, log: Log, key: bytes | None, value: bytes | None) -> int:
        transaction = self._transaction(identity, epoch)
        transaction.partitions.add(log)
        return log.append(key, value, self.clock(), transaction)

    def send_position(self, identity: str, epoch: int, place: tuple[str, str, int], offset: int, note: str) -> None:
        self._transaction(identity, epoch).positions[place] = offset, note

    def commit(self, identity: str, epoch: int) -> None:
        self._transaction(identity, epoch)
        self._end(identity, commit=True)

    def _end(self, identity: str, *, commit: bool) -> None:
        transaction = self._open.pop(identity, None)
        if transaction is None:
            return
        for log in transaction.partitions:
            log.close(transaction, commit=commit, at=self.clock())
        if commit:
            self.positions |= transaction.positions

    def position(self, place: tuple[str, str, int]) -> tuple[int, str] | None:
        """A group's stable position: whoever holds it in an open transaction has had his time."""
        for identity, transaction in list(self._open.items()):
            if place in transaction.positions:
                self.init(identity)
        return self.positions.get(place)

    # What tests write and read

    def feed(self, topic: str, records: Iterable[tuple[bytes, bytes | None]], *, commit: bool = True) -> None:
        """Another producer's transaction, committed or aborted."""
        identity = next(self._feeder)
        epoch = self.init(identity)
        for key, value in records:
            self.append(identity, epoch, self.log(topic), key, value)
        self._end(identity, commit=commit)

    def compacted(self, topic: str, up_to: int | None = None) -> dict[bytes, bytes]:
        """The state that the committed records of a changelog (up to with an offset) amount to."""
        state: dict[bytes, bytes | None] = {}
        for entry in self.log(topic).committed():
            if entry.key is not None and (up_to is None or entry.offset <= up_to):
                state[entry.key] = entry.value
        return {key: value for key, value in state.items() if value is not None}
