"""The real agents as processes of their own, and what an operator or an accident does to their topics and positions."""

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from ops.cli import app
from ops.cli.explain import explain
from schemas.errors import Unavailable
from streams import provision
from streams.admin import described
from streams.lag import lag
from streams.topology import FLOWS
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]


class Operator:
    """Runs `safelight` with a test's settings; `changes` are settings, by their names."""

    def __init__(self, settings):
        self.settings = settings
        self.admin = AdminClient({"bootstrap.servers": settings.brokers})
        self._workers = []

    def environment(self, **changes):
        values = {
            "brokers": self.settings.brokers,
            "namespace": self.settings.namespace,
            "data": str(self.settings.data),
            "clickhouse_url": self.settings.clickhouse_url,
            "hash_key": "a key of this test's own",
            "session": "PT6S",
        } | changes
        mine = {name: value for name, value in os.environ.items() if not name.startswith("SAFELIGHT_")}
        return mine | {f"SAFELIGHT_{name.upper()}": str(value) for name, value in values.items()}

    # Commands

    def run(self, *arguments, code=0, **changes):
        """What a command prints, both streams together; in this process, with the exit code that ops/__main__.py gives it."""
        done = CliRunner().invoke(app, arguments, env=self.environment(**changes))
        said, ended_with = done.output, done.exit_code
        if done.exception and not isinstance(done.exception, SystemExit):
            line = explain(done.exception)
            if line is None:
                raise done.exception
            said, ended_with = said + line, 1
        assert ended_with == code, said
        return said

    def offsets(self, agent):
        """What `safelight offsets` says, by topic (without the namespace) and partition."""
        rows = json.loads(self.run("offsets", "--agent", agent, "--json"))
        return {(row["topic"].removeprefix(f"{self.settings.namespace}."), row["partition"]): row for row in rows}

    # Workers

    def start(self, agent, **changes):
        self._workers.append(AgentProcess(self, agent, changes))
        return self._workers[-1]

    def work_off(self, agent, **changes):
        """Run the agent until it has read everything."""
        worker = self.start(agent, **changes)

        def done():
            worker.assert_lives()
            try:
                lags = lag(self.settings, [FLOWS[agent]])
            except Unavailable as error:  # for a moment, of topics that were just made
                raise AssertionError(error) from error
            assert sum(each.records for each in lags) == 0

        eventually(done, within=150, every=0.3)
        worker.stop()

    def refused(self, agent, **changes):
        """The line with which the agent's worker ends."""
        worker = self.start(agent, **changes)
        code, said = worker.ended()
        assert code == 1, said
        *_, line = said.splitlines()
        assert " ends: " in line, said
        assert "Traceback" not in said
        return line.partition(" ends: ")[2]

    def kill_workers(self):
        for worker in self._workers:
            worker.kill()

    # Accidents

    def delete_positions(self, agent):
        """As the broker does to a group that was empty for offsets.retention.minutes."""
        self._when_empty(lambda: self.admin.delete_consumer_groups([self.settings.group(agent)]))

    def set_position(self, agent, topic, partition, offset):
        """As kafka-consumer-groups --reset-offsets does."""
        group = self.settings.group(agent)
        here = TopicPartition(self.settings.topic(topic), partition, offset)
        self._when_empty(lambda: self.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [here])]))

    def delete_records(self, topic, partition, before):
        here = TopicPartition(self.settings.topic(topic), partition, before)
        for future in self.admin.delete_records([here]).values():
            future.result(30)

    def make_anew(self, topic):
        name = self.settings.topic(topic)
        (old,) = provision.topic_ids(self.settings, [topic]).values()
        for future in self.admin.delete_topics([name]).values():
            future.result(30)

        def gone():
            assert not described(self.settings, [topic])

        def made():
            assert provision.ensure(self.settings) in ([name], [])
            assert provision.topic_ids(self.settings, [topic])[name] != old

        eventually(gone, within=30, every=0.1)  # it is listed for a moment, and would be taken for there
        eventually(made, within=60, every=0.3)

    def _when_empty(self, ask):
        """A group has members for a moment after they left."""

        def asked():
            try:
                for future in ask().values():
                    future.result(30)
            except KafkaException as error:
                if error.args[0].code() not in {KafkaError.NON_EMPTY_GROUP, KafkaError.UNKNOWN_MEMBER_ID}:
                    raise
                raise AssertionError(error) from error

        eventually(asked, within=30, every=0.3)


class AgentProcess:
    """`safelight worker AGENT`."""

    def __init__(self, operator, agent, changes):
        self._log = operator.settings.data.parent / f"{agent}-{time.monotonic_ns()}.log"
        self._ready = operator.settings.data / "run" / f"{agent}.ready"
        self._ready.unlink(missing_ok=True)
        with closing(self._log.open("w")) as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ops", "worker", agent],
                cwd=ROOT,
                env=operator.environment(**changes),
                stdout=log,
                stderr=log,
            )

    def assert_lives(self):
        if self._process.poll() is not None:
            raise RuntimeError(self._log.read_text())

    def wait_ready(self):
        def ready():
            self.assert_lives()
            assert self._ready.exists()

        eventually(ready, within=120)

    def ended(self):
        code = self._process.wait(120)
        return code, self._log.read_text()

    def stop(self):
        self._process.terminate()
        code, said = self.ended()
        assert code == 0, said

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
