"""Three brokers, every record on all of them and acknowledged by two: brokers die under load, and every event is accounted for.

    python -m tests.chaos.three_brokers --seconds 300 --seed 1 --json three_brokers.json

Two admit workers work on steady uploads, and are started again when they end. Meanwhile, by turns: SIGKILL of the broker that
leads a partition, coordinates the transactions, coordinates the group, or controls the cluster; the first broker (which every
client tries first) away for a minute, in which a worker is killed and has to come back; two brokers away at once, so that
nothing can be acknowledged; a restart of all in turn. Ends with 1 when an event was lost or doubled. The worst stall is the longest time from an event's append until the append of what admit
made of it; the pause is the longest time in which a partition had no output.
"""

import argparse
import json
import os
import platform
import random
import shlex
import signal
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
from confluent_kafka import KafkaException

from ops.stack.kafka_cluster import KafkaCluster
from schemas.errors import Unavailable
from schemas.topics import EVENTS
from streams import provision
from streams.settings import Settings
from streams.topology import FLOWS
from tests.support.eventually import eventually
from tests.support.kafka_roles import Roles
from tests.support.steady import Feeder, Worker, account, exact, stalls, wait_admitted

WORKERS = 2
AWAY_SECONDS = 60.0
_DOWN_SECONDS = (1.0, 8.0)  # from a broker's kill until its restart
_CALM_SECONDS = 3.0
_IN_SYNC_SECONDS = 180
_BEFORE_SECONDS = 1.0  # an event that was in hand when a fault began waits because of that fault


def main() -> int:
    arguments = parse()
    with (
        tempfile.TemporaryDirectory(prefix="safelight-three-") as scratch,
        cluster(Path(scratch)) as (brokers, settings),
    ):
        storm = Storm(brokers.brokers, settings, rate=arguments.rate, seed=arguments.seed)
        with storm:
            end = time.monotonic() + arguments.seconds
            while time.monotonic() < end:
                for fault in storm.every_fault():
                    storm.suffer(fault)
                    if time.monotonic() > end:
                        break
        result = storm.result()
    result["machine"] = f"{psutil.cpu_count()} cores, Python {platform.python_version()}"
    print_result(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    if exact(result["accounting"]):
        return 0
    say(f"again: python -m tests.chaos.three_brokers {shlex.join(sys.argv[1:])}")
    return 1


@contextmanager
def cluster(folder, *, session=6.0):
    """Three brokers, and settings that know them and replicate threefold."""
    brokers = KafkaCluster(folder / "kafka")
    brokers.start()
    try:
        yield (
            brokers,
            Settings(
                brokers=brokers.bootstrap,
                namespace="three",
                replication=3,
                partitions=4,  # every batch is a transaction that three brokers have to write: the machine is small
                data=folder,
                hash_key="a key for testing",
                session=timedelta(seconds=session),
            ),
        )
    finally:
        brokers.stop()


class Storm:
    """Load, workers, and what happens to the brokers. Within the `with` block there is load; `result` accounts after it."""

    def __init__(self, brokers, settings, *, rate, seed):
        self._brokers = dict(enumerate(brokers, 1))
        self._settings = settings
        self._seed = seed
        self._rate = rate
        self._random = random.Random(seed)
        self._roles = Roles(settings.brokers)
        self._workers = [Worker(settings, settings.data / f"worker-{number}") for number in range(WORKERS)]
        self._feeder = Feeder(settings, rate, seed=seed)
        self._keeper = Keeper(self._workers)
        self._suffered = []

    def __enter__(self):
        eventually(self._provision, within=60, every=0.5)
        try:
            for worker in self._workers:
                worker.start()
            for worker in self._workers:
                worker.wait_ready()
            self._feeder.start()
            self._keeper.start()
            self._began = time.time()
            time.sleep(_CALM_SECONDS)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            if self._feeder.ident:
                self._feeder.finish()
            if kind is None:
                wait_admitted(self._settings, FLOWS["admit"])
        finally:
            self._keeper.stop()
            for worker in self._workers:
                worker.kill()

    def result(self):
        figures, passages = account(self._settings, self._feeder.sent)
        faults = [
            {"fault": what, "at_seconds": round(began - self._began, 1), **stalls(passages, began, ended)}
            for what, began, ended in self._suffered
        ]
        return {
            "seed": self._seed,
            "rate": self._rate,
            "session_seconds": self._settings.session.total_seconds(),
            "brokers": len(self._brokers),
            "faults": faults,
            "longest_pause_seconds": max(each["longest_gap_seconds"] for each in faults),
            "worst_stall_seconds": max(each["worst_stall_seconds"] for each in faults),
            "workers_ended": self._keeper.ended,
            "accounting": figures,
        }

    # Faults

    def every_fault(self):
        """Each fault once, in an order of the seed's."""
        faults = [
            self.leader_killed,
            self.transaction_coordinator_killed,
            self.group_coordinator_killed,
            self.controller_killed,
            self.first_away,
            self.two_away,
            self.restarted_in_turn,
        ]
        return self._random.sample(faults, len(faults))

    def suffer(self, fault):
        """Let it happen, and wait until the cluster has all replicas in sync again."""
        began = time.time() - _BEFORE_SECONDS
        what = fault()
        self._wait_in_sync()
        time.sleep(_CALM_SECONDS)
        self._suffered.append((what, began, time.time() - _BEFORE_SECONDS))
        say(f"{time.time() - self._began:6.1f} s  {what}")

    def leader_killed(self):
        partition = self._random.randrange(self._settings.partitions)
        leader = self._roles.leader(self._settings.topic(EVENTS), partition)
        return self._killed(leader, f"leader of partition {partition}")

    def transaction_coordinator_killed(self):
        partition = self._random.randrange(self._settings.partitions)
        source = f"{self._settings.topic(EVENTS)}-{partition}"
        coordinator = self._roles.transaction_coordinator(f"{self._settings.group('admit')}-{source}")
        return self._killed(coordinator, f"transaction coordinator of partition {partition}")

    def group_coordinator_killed(self):
        return self._killed(self._roles.group_coordinator(self._settings.group("admit")), "group coordinator")

    def controller_killed(self):
        return self._killed(self._roles.controller(), "controller")

    def first_away(self, seconds=AWAY_SECONDS):
        """The broker that every client tries first is away, and a worker that is killed meanwhile has to come back without it."""
        kill(self._brokers[1])
        back = time.monotonic() + seconds
        time.sleep(seconds / 4)
        worker = self._random.choice(self._workers)
        with self._keeper.off_duty():
            worker.kill()
            worker.start()
        eventually(lambda: is_true(worker.ready), within=max(seconds, 60))
        came_back = time.monotonic() < back
        time.sleep(max(0.0, back - time.monotonic()))
        self._brokers[1].start()
        return f"broker 1 away for {seconds:g} s, a worker killed{'' if came_back else ' and not back in time'}"

    def two_away(self):
        """One is left, and may acknowledge nothing: whoever writes has to wait."""
        killed = self._random.sample(sorted(self._brokers), 2)
        for number in killed:
            kill(self._brokers[number])
        seconds = self._random.uniform(*_DOWN_SECONDS)
        time.sleep(seconds)
        for number in killed:
            self._brokers[number].start()
        return f"kill -9 of brokers {killed[0]} and {killed[1]}; back after {seconds:.1f} s"

    def restarted_in_turn(self):
        """As for an upgrade: SIGTERM, start, and the next one when all replicas are in sync."""
        for broker in self._brokers.values():
            broker.stop()
            broker.start()
            self._wait_in_sync()
        return "all brokers restarted in turn"

    def _killed(self, number, role):
        broker = self._brokers[number]
        kill(broker)
        seconds = self._random.uniform(*_DOWN_SECONDS)
        time.sleep(seconds)
        broker.start()
        return f"kill -9 of broker {number}, {role}; back after {seconds:.1f} s"

    def _provision(self):
        try:
            provision.ensure(self._settings)
        except (Unavailable, KafkaException) as error:  # of a broker that is counted in for a moment after its death
            raise AssertionError(str(error)) from error

    def _wait_in_sync(self):
        eventually(lambda: is_true(self._roles.in_sync(len(self._brokers))), within=_IN_SYNC_SECONDS, every=0.5)


class Keeper(threading.Thread):
    """Starts workers again that have ended, as an orchestrator does; `ended` has each one's exit code and last line."""

    def __init__(self, workers):
        super().__init__(name="keeper")
        self.ended = []
        self._workers = workers
        self._enough = threading.Event()
        self._duty = threading.Lock()

    def run(self):
        while not self._enough.wait(0.5):
            with self._duty:
                for worker in self._workers:
                    if not worker.running:
                        self.ended.append({"exit_code": worker.exit_code, "said": worker.last_line})
                        worker.start()

    @contextmanager
    def off_duty(self):
        with self._duty:
            yield

    def stop(self):
        self._enough.set()
        if self.ident:
            self.join()


def kill(broker):
    """SIGKILL; returns when it is gone."""
    os.kill(broker.pid, signal.SIGKILL)
    eventually(lambda: is_true(not broker.running()))


def is_true(truth):
    assert truth


def print_result(result):
    for each in result["faults"]:
        say(
            f"{each['worst_stall_seconds']:7.2f} s worst stall {each['longest_gap_seconds']:7.2f} s pause  {each['fault']}"
        )
    totals = ("longest_pause_seconds", "worst_stall_seconds", "workers_ended", "accounting")
    say(json.dumps({name: result[name] for name in totals}))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300, help="how long faults go on (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of faults, and of what they hit (default 1)")
    parser.add_argument("--rate", type=int, default=200, help="events a second (default 200)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser.parse_args()


def say(what):
    sys.stderr.write(f"{what}\n")


if __name__ == "__main__":
    sys.exit(main())
