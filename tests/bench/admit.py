"""How near admit comes to a loop that does nothing of what makes it safe: `safelight bench admit`.

One broker of the embedded stack holds photos.events with realistic uploads, one in ten a repeat. Two processes read the
whole topic in turn, several times, each time as a new consumer group and into topics made anew:

- **ours**: `safelight worker admit` as it is: decodes and checks every event, looks its id up among those remembered, drops
  repeats; publishes the admitted photos, what it remembers (the changelog) and its position in one transaction a batch and
  partition, and writes the local RocksDB. 2,000 records a batch.
- **bare**: what a good engineer writes first with confluent-kafka and fastavro: consume 2,000, decode, add the fields of
  PhotoAdmitted, encode, produce by the same key with the same partitioner, linger and compression, commit the positions.
  It leaves out: dropping repeats and any state, every check, transactions, reading committed records only. Nor does it wait
  for what it produced before it commits, so that a crash loses events: it is as fast as such a loop can be.

Both are timed by themselves from the first record in hand to the last commit, without start, claims and end; CPU is user and
system time of the whole process over that span. Afterwards the outputs are read and accounted for.

`--json FILE` writes: `machine` {cpu, cores, python, platform}; `events`, `unique`, `batch_records`, `event_bytes` (mean of a
record's value); `pairs`, a list of {ours, bare}: {events_per_second, cpu_us_per_event, seconds, outputs, cpu_us_by_thread, and of
ours cpu_us_by_step}, and of each pair ratio and ratio_cpu; `ratio`, the median over the pairs of ours ÷ bare in events a second;
`ratio_cpu`, the same of CPU an event (above 1: ours uses more).
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops.stack.kafka import Kafka
from schemas import codec
from schemas.events import PhotoAdmitted
from schemas.topics import ADMIT_CHANGELOG, ADMITTED, DEAD_LETTER, ENRICHED, EVENTS, METRICS, Topic
from streams import provision
from streams.admin import described
from streams.settings import Settings
from streams.standalone import partitions_of, reading, to_the_end
from tests.bench.admit_events import uploads
from tests.bench.admit_sides import PLAIN

ROOT = Path(__file__).parents[2]
MADE_ANEW = (ADMITTED, ENRICHED, DEAD_LETTER, METRICS, ADMIT_CHANGELOG)
PATIENCE_SECONDS = 600
_TIMEOUT_SECONDS = 30.0


def main(arguments: list[str]) -> int:
    """Run it; 1 when a side did not do its work."""
    parser = argparse.ArgumentParser(prog="safelight bench admit", description="admit against a bare loop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--pairs", type=int, default=5, help="how often each side runs")
    parser.add_argument("--events", type=int, default=200_000, help="how many events are read each time")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress,
        tempfile.TemporaryDirectory(prefix="safelight-bench-") as scratch,
        broker(Path(scratch) / "kafka") as kafka,
    ):
        settings = Settings(brokers=kafka.bootstrap, namespace="bench", data=Path(scratch) / "data", hash_key="bench")
        provision.ensure(settings)
        source = fill(settings, options.events, progress)
        figures = measure(settings, source, options.pairs, progress)
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


@contextmanager
def broker(folder: Path) -> Iterator[Kafka]:
    kafka = Kafka(folder)
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()


def fill(settings: Settings, count: int, progress: Progress) -> dict[str, Any]:
    """Publish the events, once for all runs; what there is to know of them."""
    unique = size = 0
    task = progress.add_task("publishing events", total=count)
    producer = Producer({"bootstrap.servers": settings.brokers, "log_level": 0, **PLAIN})
    for number, (upload, repeat) in enumerate(uploads(count), 1):
        while True:
            try:
                producer.produce(settings.topic(EVENTS), upload.value, upload.key)
                break
            except BufferError:
                producer.poll(0.1)
        unique += not repeat
        size += len(upload.value)
        if number % 1000 == 0:
            progress.update(task, completed=number)
    check(producer.flush(_TIMEOUT_SECONDS) == 0, "the broker did not take the events")
    progress.remove_task(task)
    return {"events": count, "unique": unique, "event_bytes": round(size / count)}


def measure(settings: Settings, source: dict[str, Any], pairs: int, progress: Progress) -> dict[str, Any]:
    """The figures of `--json`."""
    done: list[dict[str, Any]] = []
    task = progress.add_task("pairs", total=pairs)
    for number in range(pairs):
        sides = [ours, bare] if number % 2 == 0 else [bare, ours]  # who is first changes, should it matter
        pair: dict[str, Any] = {side.__name__: side(settings, source) for side in sides}
        ratio = pair["ours"]["events_per_second"] / pair["bare"]["events_per_second"]
        ratio_cpu = pair["ours"]["cpu_us_per_event"] / pair["bare"]["cpu_us_per_event"]
        done.append(pair | {"ratio": round(ratio, 3), "ratio_cpu": round(ratio_cpu, 3)})
        progress.update(task, completed=number + 1)
    return {
        "machine": machine(),
        **source,
        "batch_records": settings.batch_records,
        "pairs": done,
        "ratio": round(median(pair["ratio"] for pair in done), 3),
        "ratio_cpu": round(median(pair["ratio_cpu"] for pair in done), 3),
    }


def ours(settings: Settings, source: dict[str, Any]) -> dict[str, Any]:
    """One run of the worker, over all events."""
    given = {
        "brokers": settings.brokers,
        "namespace": settings.namespace,
        "data": str(settings.data),
        "hash_key": settings.hash_key.get_secret_value(),
    }
    with side("ours", settings=given) as process:
        config = {"group.id": settings.group("admit"), "isolation.level": "read_uncommitted"}
        with reading(settings.brokers, config) as group:
            give_up = time.monotonic() + PATIENCE_SECONDS
            while not read_to_the_end(settings, group):
                check(process.poll() is None, f"safelight worker admit ended with {process.poll()}")
                check(time.monotonic() < give_up, "safelight worker admit did not come to the end")
                time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=PATIENCE_SECONDS)[0]
        check(process.returncode == 0, f"safelight worker admit ended with {process.returncode}")
    found = outputs(settings)
    check(len(found) == len(set(found)) == source["unique"], f"admit admitted {len(found)} of {source['unique']}")
    forget(settings, settings.group("admit"))
    return figures(said, source, len(found))


def read_to_the_end(settings: Settings, group: Consumer) -> bool:
    """Whether the group's positions are the ends of photos.events."""
    here = partitions_of(settings, [EVENTS])
    try:
        ends = [group.get_watermark_offsets(each, _TIMEOUT_SECONDS)[1] for each in here]
        return [each.offset for each in group.committed(here, _TIMEOUT_SECONDS)] == ends
    except KafkaException:
        return False  # the group is new to the broker, or that is too busy to answer: whoever asks gives up some time


def bare(settings: Settings, source: dict[str, Any]) -> dict[str, Any]:
    """One run of the bare loop, over all events."""
    given = {"brokers": settings.brokers, "namespace": settings.namespace}
    with side("bare", settings=given, group="bench.bare", events=source["events"]) as process:
        said = process.communicate(timeout=PATIENCE_SECONDS)[0]
        check(process.returncode == 0, f"the bare loop ended with {process.returncode}")
    found = outputs(settings)
    check(len(found) == source["events"], f"the bare loop published {len(found)} of {source['events']}")
    check(len(set(found)) == source["unique"], "the bare loop published something else than it read")
    forget(settings, "bench.bare")
    return figures(said, source, len(found))


def figures(said: str, source: dict[str, Any], count: int) -> dict[str, Any]:
    measured = json.loads(said.splitlines()[-1])

    def each(seconds: dict[str, float]) -> dict[str, float]:
        return {what: round(some / source["events"] * 1e6, 2) for what, some in seconds.items()}

    return {
        "events_per_second": round(source["events"] / measured["seconds"]),
        "cpu_us_per_event": round(measured["cpu_seconds"] / source["events"] * 1e6, 2),
        "seconds": round(measured["seconds"], 3),
        "cpu_us_by_thread": each(measured["cpu_by_thread"]),
        "cpu_us_by_step": each(measured.get("cpu_by_step", {})),
        "outputs": count,
    }


@contextmanager
def side(name: str, **arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process of admit_sides.py; what it says on stderr is shown. Killed, should it still be there at the end."""
    command = [sys.executable, "-m", "tests.bench.admit_sides", name, json.dumps(arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAFELIGHT_")}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, process_group=0)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def forget(settings: Settings, group: str) -> None:
    """Leave photos.events alone: no positions of the group, no outputs, no state."""
    admin: Any = AdminClient({"bootstrap.servers": settings.brokers, "log_level": 0})
    admin.delete_consumer_groups([group])[group].result(_TIMEOUT_SECONDS)
    for future in admin.delete_topics([settings.topic(topic) for topic in MADE_ANEW]).values():
        future.result(_TIMEOUT_SECONDS)
    while described(settings, MADE_ANEW):  # the broker has heard of it a little later than the controller
        time.sleep(0.05)
    provision.ensure(settings)
    shutil.rmtree(settings.data, ignore_errors=True)


def outputs(settings: Settings) -> list[str]:
    """The event ids of all that was committed to photos.admitted; fails when there is anything on the rejects' topics."""
    for topic in (ENRICHED, DEAD_LETTER):
        check(not list(committed(settings, topic)), f"something was rejected to {topic.name}")
    return [codec.decode(value, PhotoAdmitted).event_id for value in committed(settings, ADMITTED)]


def committed(settings: Settings, topic: Topic) -> Iterator[bytes]:
    with reading(settings.brokers) as consumer:
        for message in to_the_end(consumer, partitions_of(settings, [topic])):
            yield message.value() or b""


def check(fine: bool, otherwise: str) -> None:
    if not fine:
        sys.exit(f"safelight bench admit: {otherwise}")


def machine() -> dict[str, Any]:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def show(figures: dict[str, Any]) -> None:
    print("pair  ours events/s  CPU us   bare events/s  CPU us   ratio  ratio CPU")
    for number, pair in enumerate(figures["pairs"], 1):
        own, other = pair["ours"], pair["bare"]
        print(
            f"{number:4}  {own['events_per_second']:13,}  {own['cpu_us_per_event']:6.1f}   "
            f"{other['events_per_second']:13,}  {other['cpu_us_per_event']:6.1f}   {pair['ratio']:5.2f}  {pair['ratio_cpu']:9.2f}"
        )
    print(f"median: ratio {figures['ratio']:.2f}, ratio CPU {figures['ratio_cpu']:.2f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
