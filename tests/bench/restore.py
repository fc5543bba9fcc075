"""How long a partition waits for its state after its worker's disk is lost: a million entries from a changelog.

    python -m tests.bench.restore --json FILE

A real broker in a folder of its own; entries as admit's (a key of 16 bytes, a value of 25), written in transactions as a task
writes them, restored into an empty store, as a worker does it; then opened again where it is.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil

from ops.stack.kafka import Kafka
from schemas.topics import ADMIT_CHANGELOG, EVENTS
from streams import provision
from streams.changelog import changelog_of
from streams.claim import Claim, Group, Source
from streams.settings import Settings
from streams.state import Store, restore

ENTRIES = 1_000_000
A_TRANSACTION = 20_000
RUNS = 5
WITHIN_SECONDS = 5.0


def main() -> None:
    options = argparse.ArgumentParser(description="Restore a million entries of a state from its changelog.")
    options.add_argument("--json", type=Path, help="write the figures to this file")
    options.add_argument("--entries", type=int, default=ENTRIES)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(Path(scratch), chosen.entries)
    print(json.dumps(figures, indent=1))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(scratch, entries):
    broker = Kafka(scratch / "kafka")
    broker.start()
    try:
        settings = Settings(brokers=broker.bootstrap, data=scratch / "data", partitions=1)
        provision.ensure(settings)
        ids = provision.topic_ids(settings, [EVENTS, ADMIT_CHANGELOG])
        changelog = changelog_of(ADMIT_CHANGELOG, settings, ids, 0)
        fill(settings, Source(EVENTS.name, ids[EVENTS.name], 0), changelog, entries)
        runs = [restored(scratch / str(number), changelog, settings.brokers, entries) for number in range(RUNS)]
        return {
            "entries": entries,
            "seconds": [run["seconds"] for run in runs],
            "median_seconds": statistics.median(run["seconds"] for run in runs),
            "cpu_seconds": statistics.median(run["cpu_seconds"] for run in runs),
            "store_bytes": runs[-1]["store_bytes"],
            "opened_again_seconds": again(scratch / "0", changelog, settings.brokers),
            "within_seconds": WITHIN_SECONDS,
            "load_average": os.getloadavg()[0],
            "machine": f"{psutil.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        }
    finally:
        broker.stop()


def fill(settings, source, changelog, entries):
    with closing(Group(settings.brokers, settings.group("admit"))) as group:
        claim = Claim(settings.brokers, group, source, changelog)
        for _ in range(0, entries, A_TRANSACTION):
            claim.begin()
            claim.publish_changes(changelog.topic, {os.urandom(16): os.urandom(25) for _ in range(A_TRANSACTION)})
            claim.commit(claim.position)


def restored(folder, changelog, brokers, entries):
    wall, cpu = time.monotonic(), time.process_time()
    with closing(Store(folder, changelog)) as store:
        read = restore(store, brokers)
        seconds, cpu_seconds = time.monotonic() - wall, time.process_time() - cpu
        assert read == entries
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "store_bytes": size}


def again(folder, changelog, brokers):
    wall = time.monotonic()
    with closing(Store(folder, changelog)) as store:
        assert restore(store, brokers) == 0
        return time.monotonic() - wall


if __name__ == "__main__":
    main()
