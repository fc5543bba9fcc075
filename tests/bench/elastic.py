"""How long events wait while workers come and go: admit under steady load, 1 to 4 to 1 workers, rolling restarts, a kill -9.

    python -m tests.bench.elastic --json elastic.json

A broker and workers of its own on the loopback address. The worst stall of a phase is the longest time from an event's append
to photos.events until the append of what admit made of it, by the broker's clock. Targets: 2 s when workers come and go as
planned, the session and a second after a kill -9. Ends with 1 when an event was lost or doubled, or a target was missed.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import psutil

from ops.stack.kafka import Kafka
from streams import provision
from streams.settings import Settings
from streams.topology import FLOWS
from tests.support.steady import Feeder, Worker, account, exact, stalls, wait_admitted

PLANNED_SECONDS = 2.0
MOST_WORKERS = 4
RESTARTS = 8
_CALM_SECONDS = 4.0  # after what happens in a phase, so that its last rebalance is over before the next begins
_BEFORE_SECONDS = 1.0  # an event that was in hand when a phase began waits because of that phase


def main() -> int:
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="safelight-elastic-") as scratch:
        folder = Path(scratch)
        broker = Kafka(folder / "kafka")
        broker.start()
        try:
            settings = Settings(
                brokers=broker.bootstrap,
                namespace="elastic",
                data=folder,
                hash_key="a key for measuring",
                session=timedelta(seconds=arguments.session),
            )
            result = Run(settings, arguments.rate).result()
        finally:
            broker.stop()
    show(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if result["met"] and exact(result["accounting"]) else 1


class Run:
    """One run: its workers, and the phases that it has been through."""

    def __init__(self, settings, rate):
        self._settings = settings
        self._rate = rate
        self._workers = [Worker(settings, settings.data / f"worker-{number}") for number in range(MOST_WORKERS)]
        self._phases = []
        self._loads = []

    def result(self):
        provision.ensure(self._settings)
        self._loads.append(round(psutil.getloadavg()[0], 1))
        first, *others = self._workers
        feeder = Feeder(self._settings, self._rate)
        try:
            first.start()
            first.wait_ready()
            feeder.start()
            self._calm()  # whose first batches are not measured
            self._phase("one worker", "steady", self._calm)
            for worker in others:
                self._phase("a worker joins", "planned", self._joins, worker)
            self._phase("four workers", "steady", self._calm)
            for number in range(RESTARTS):
                worker = self._workers[number % MOST_WORKERS]
                self._phase("a worker restarts", "planned", self._restarts, worker)
            for worker in others:
                self._phase("a worker leaves", "planned", self._leaves, worker)
            self._phase("it comes back", "planned", self._joins, others[0])
            self._phase("kill -9", "killed", self._killed, others[0])
            self._loads.append(round(psutil.getloadavg()[0], 1))
            feeder.finish()
            wait_admitted(self._settings, FLOWS["admit"])
            figures, passages = account(self._settings, feeder.sent)
        finally:
            feeder.finish() if feeder.ident else None
            for worker in self._workers:
                worker.kill()
        return self._judge(figures, passages)

    def _judge(self, figures, passages):
        session = self._settings.session.total_seconds()
        most = {"steady": PLANNED_SECONDS, "planned": PLANNED_SECONDS, "killed": session + 1}
        phases = [
            {"phase": name, "kind": kind, "seconds": round(ended - began, 1), **stalls(passages, began, ended)}
            for (name, kind, began, ended) in self._phases
        ]
        worst = {kind: max(each["worst_stall_seconds"] for each in phases if each["kind"] == kind) for kind in most}
        return {
            "rate": self._rate,
            "session_seconds": session,
            "machine": f"{psutil.cpu_count()} cores, Python {platform.python_version()}",
            "load_average": self._loads,  # a minute's, before and after: our own is 3 or so
            "worst_stall_seconds": worst,
            "target_seconds": most,
            "met": all(worst[kind] <= most[kind] for kind in most),
            "accounting": figures,
            "phases": phases,
        }

    def _phase(self, name, kind, do, *arguments):
        began = time.time() - _BEFORE_SECONDS
        do(*arguments)
        self._phases.append((name, kind, began, time.time() - _BEFORE_SECONDS))
        say(f"{time.time() - self._phases[0][2]:6.1f} s  {name}")

    def _calm(self, seconds=_CALM_SECONDS):
        """Time in which nothing happens: no worker may end by itself."""
        running = [worker for worker in self._workers if worker.running]
        time.sleep(seconds)
        for worker in running:
            assert worker.running, worker.log.read_text()[-600:]

    def _joins(self, worker):
        worker.start()
        worker.wait_ready()
        self._calm()

    def _leaves(self, worker):
        assert worker.stop() == 0, worker.log.read_text()[-600:]
        self._calm()

    def _restarts(self, worker):
        assert worker.stop() == 0, worker.log.read_text()[-600:]
        worker.start()
        worker.wait_ready()
        self._calm(_CALM_SECONDS / 2)

    def _killed(self, worker):
        worker.kill()
        self._calm(self._settings.session.total_seconds() + _CALM_SECONDS)


def show(result):
    print(f"{'phase':20}{'events':>8}{'p50 s':>8}{'p99 s':>8}{'worst s':>9}{'gap s':>8}")
    for each in result["phases"]:
        figures = (each[name] for name in ("p50_seconds", "p99_seconds", "worst_stall_seconds", "longest_gap_seconds"))
        print(f"{each['phase']:20}{each['events']:8}{''.join(f'{figure:8.3f}' for figure in figures)}")
    print(json.dumps({name: result[name] for name in ("worst_stall_seconds", "target_seconds", "met", "accounting")}))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--rate", type=int, default=1000, help="events a second (default 1000)")
    parser.add_argument("--session", type=float, default=6.0, help="the workers' session in seconds (default 6)")
    return parser.parse_args()


def say(what):
    print(what, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
