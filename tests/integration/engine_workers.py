"""Workers of engine_flows.py as processes of their own, and waiting for them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from streams.lag import lag as lag_of
from tests.integration.engine_flows import FLOWS
from tests.support.eventually import eventually

SESSION_SECONDS = 4


class Worker:
    """A worker process of engine_flows.py. `step`, `number`, `how`, `stopping`: what it does to itself, as described there."""

    def __init__(self, settings, agent="dedupe", *, step="", number=1, how="SIGKILL", stopping=0, **changes):
        values = {
            "brokers": settings.brokers,
            "namespace": settings.namespace,
            "data": str(settings.data),
            "session": SESSION_SECONDS,
            "batch_records": 100,
            "clickhouse_url": settings.clickhouse_url,
            "metrics_interval": 0.2,
        } | changes
        self.log = settings.data.parent / f"worker-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "tests.integration.engine_flows", agent, json.dumps(values)]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [*command, *([step, str(number), how, str(stopping)] if step else [])],
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )
        self._ready = Path(values["data"]) / "run" / f"{agent}.ready"

    @property
    def ended(self):
        return self._process.poll() is not None

    def wait(self, within=60):
        return self._process.wait(within)

    def wait_ready(self, within=90):
        def ready():
            assert self._process.poll() is None, self.log.read_text()
            assert self._ready.exists(), self.log.read_text()

        eventually(ready, within=within)

    def signal(self, number):
        self._process.send_signal(number)

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def lag(settings, flow):
    return sum(each.records for each in lag_of(settings, [flow]))


def wait_done(settings, flow=FLOWS["dedupe"], within=60):
    def done():
        assert lag(settings, flow) == 0

    eventually(done, within=within, every=0.2)
