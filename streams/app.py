"""One agent's Faust app: start here.

Faust brings the app, the topics, the agent, the membership in the consumer group and the worker. What is ours: batches
(consumer.py), and on each partition a task (task.py, pending.py) that commits a batch as a whole. topology.py says what the
agents are.

`safelight worker enrich` runs one (worker.py). So does Faust's own command line, in the same consumer group:

    faust -A streams.app:enrich worker -l info

with settings from SAFELIGHT_* variables. An app is made when it is asked for: importing this module connects to nothing.

Ready: when the partitions of the first assignment are claimed (be they none), the file `run/<agent>.ready` appears in the data
folder, and goes when the app stops; of further workers of the agent on the same folder, `run/<agent>-<slot>.ready`. After a
kill the next one removes it as it starts.
"""

import asyncio
import gc
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, cast

import faust
from confluent_kafka import KafkaException
from faust.app.base import BootStrategy
from faust.types import TP, StreamT
from mode.supervisors import CrashingSupervisor
from yarl import URL

from agents.batch import Batch, Guarded
from schemas.errors import Stuck, Unavailable
from schemas.metrics import LAG
from schemas.topics import METRICS
from streams import provision
from streams.assignor import ContractAssignor
from streams.changelog import changelog_of
from streams.claim import Changelog, Claim, Group, Source
from streams.consumer import BatchConsumer, BatchTransport
from streams.consumer import Task as Claimed
from streams.leaving import Deadline
from streams.pending import PendingTask, Sink, read_range
from streams.settings import Settings
from streams.state import Slot, Stateless, Store, restored
from streams.step import Reached, Step, unwatched
from streams.task import Task
from streams.telemetry import MetricsTopic, Telemetry
from streams.threads import finish
from streams.topology import FLOWS, Flow, Work
from streams.watchdog import Unread, watch

_LOG = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 0.25
"""Only a heartbeat's answer tells a member that its group rebalances, and all wait for the last to be told."""


def __getattr__(name: str) -> faust.App:
    """An agent's app, by the agent's name: `streams.app:enrich`."""
    if name not in FLOWS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: the agents are {', '.join(FLOWS)}")
    return build(name, Settings.read())


def build(agent: str, settings: Settings) -> "AgentApp":
    """The app of one of the agents of topology.py. Raises KeyError for another name."""
    return AgentApp(FLOWS[agent], settings)


class Boot(BootStrategy):
    """Neither Faust's web server, which would listen on every interface, nor its producer: tasks have their own."""

    enable_web = False
    enable_kafka_producer = False


class AgentApp(faust.App):
    """An app that runs one agent, a batch a partition at a time."""

    BootStrategy = Boot

    logger = logging.getLogger("faust.streams")  # of what Faust's base class says

    def __init__(self, flow: Flow, settings: Settings, *, reached: Reached = unwatched) -> None:
        """`reached` is called at every boundary (streams/step.py)."""
        session = settings.session.total_seconds()
        super().__init__(
            settings.group(flow.agent),
            broker=[URL(f"kafka://{broker.strip()}") for broker in settings.brokers.split(",")],
            datadir=str(settings.data),
            autodiscover=False,
            topic_disable_leader=True,
            topic_allow_declare=False,  # streams/provision.py makes them
            stream_recovery_delay=0,
            stream_buffer_maxsize=4096,  # messages, of which a partition has one: never full
            consumer_max_fetch_size=4 << 20,  # of a partition: with Faust's 1 MB a batch with embeddings would be small
            consumer_auto_offset_reset="none",  # positions are ours: one outside the log is an error, never a fresh start
            broker_max_poll_records=flow.batch_records(settings),
            # As long as no partition is free, nothing is asked for, and aiokafka would leave the group after this time: the
            # consumer tells it that all is well (BatchThread.seen), for as long as our loop runs.
            broker_max_poll_interval=settings.stall,
            broker_commit_interval=timedelta(days=1),  # Faust commits nothing
            PartitionAssignor=ContractAssignor,
            broker_session_timeout=session,
            broker_heartbeat_interval=min(session / 10, _HEARTBEAT_SECONDS),
            broker_request_timeout=max(30.0, session),
        )
        self.flow = flow
        self.settings = settings
        self.opened = False  # whether on_start has come to its end
        self.deadline = Deadline(flow.agent, settings.session)
        self.reached = reached
        self.transport = BatchTransport(self.conf.broker, app=self, host=self)
        self._rests = {topic.name: rest.total_seconds() for topic, rest in flow.rests.items()}
        self._contract_names = {settings.topic(topic): topic.name for topic in flow.sources}
        self.partitions = {settings.topic(topic): settings.partitions_of(topic) for topic in flow.sources}
        self.agent(
            self.topic(*self._contract_names, value_serializer="raw"),
            name=flow.agent,
            supervisor_strategy=CrashingSupervisor,
        )(self._deliver)

    async def _deliver(self, stream: StreamT[Batch]) -> None:
        """Begin the work on every batch; the consumer sees that a partition has one at a time."""
        async for event in cast(Any, stream).noack().events():  # which Faust's own type leaves out
            self.batches.work(event.message.tp, event.value)

    @property
    def batches(self) -> BatchConsumer:
        """The consumer."""
        return cast(BatchConsumer, self.consumer)

    # From start to stop

    async def on_first_start(self) -> None:
        """Make none of the folders that Faust's tables would need."""

    async def on_start(self) -> None:
        """See that the topics are there, take a folder, and open what the agent's function needs; closed in the other order."""
        await super().on_start()
        settings, opened = self.settings, self.async_exit_stack
        # Two more than can be busy, so that what is open can be closed in any case.
        self._threads = ThreadPoolExecutor(sum(self.partitions.values()) + 2, thread_name_prefix="task")
        opened.callback(self._threads.shutdown, wait=False)  # one that hangs must not hold up the end (leaving.py)
        self._topic_ids = await self._look_around()
        self.slot = Slot(settings.data / "state" / settings.group(self.flow.agent))
        opened.callback(self.slot.close)
        self._ready = (
            settings.data / "run" / f"{self.flow.agent}{f'-{self.slot.number}' if self.slot.number else ''}.ready"
        )
        self._ready.parent.mkdir(parents=True, exist_ok=True)
        self._ready.unlink(missing_ok=True)
        opened.callback(self._ready.unlink, missing_ok=True)
        self._group = Group(settings.brokers, settings.group(self.flow.agent))
        opened.push_async_callback(finish, self._threads, self._group.close)
        metrics = MetricsTopic(settings.brokers, settings.topic(METRICS))
        opened.push_async_callback(finish, self._threads, metrics.close)
        worker = f"{self.flow.agent}-{socket.gethostname()}-{os.getpid()}"
        self.measure = Telemetry(agent=self.flow.agent, worker=worker, publish=metrics.publish)
        opened.callback(self.measure.report, up=False)
        self._work: Work = await opened.enter_async_context(self.flow.open(settings, self.measure))
        self.add_future(self._report())
        self._watch(opened.callback)
        self.opened = True

    async def _look_around(self) -> dict[str, str]:
        while True:
            try:
                return await finish(self._threads, provision.topic_ids, self.settings, self.flow.topics)
            except Unavailable as why:
                _LOG.warning("waiting for Kafka (%s)", why.detail)
                await asyncio.sleep(1)

    # What the consumer asks for (consumer.Host)

    def contract_name(self, topic: str) -> str:
        """The name in schemas/topics.py of a topic on the broker."""
        return self._contract_names[topic]

    def rest_seconds(self, topic: str) -> float:
        """Of the flow."""
        return self._rests.get(topic, 0.0)

    async def claim(self, tp: TP) -> Claimed:
        """Claim a partition. Never abandoned: cancelled, it still returns what it claimed."""
        return await finish(self._threads, self._claim, Source(tp.topic, self._topic_ids[tp.topic], tp.partition))

    async def close_task(self, task: Claimed) -> None:
        """Close a task, in another thread."""
        await finish(self._threads, task.close)

    def claimed(self) -> None:
        """All partitions of an assignment are claimed, be they none."""
        if not self._ready.exists():
            gc.freeze()  # what is there by now stays: collections need not look at it again while batches come and go
            self._ready.touch()
            _LOG.info("%s is ready", self.flow.agent)

    async def failed(self, error: Exception) -> None:
        """End the process."""
        await self.crash(error)

    async def leave(self, within_seconds: float) -> None:
        """Tell the group that this worker is gone, whatever else is under way; if the broker does not answer, never mind."""
        if self.opened:
            await self.batches.leave(within_seconds)

    def _claim(self, source: Source) -> Claimed:
        settings, work = self.settings, self._work

        def reached(step: Step) -> None:
            self.batches.watchdog.sign(TP(source.topic, source.partition))
            self.reached(step)

        changelog = changelog_of(self.flow.changelog, settings, self._topic_ids, source.partition)
        claim = Claim(settings.brokers, self._group, source, changelog, reached=reached)
        if isinstance(work, Sink):
            return PendingTask(
                claim,
                work,
                topic=self.contract_name(source.topic),
                read=partial(read_range, settings.brokers),
                longest=settings.pending_age,
                threads=self._threads,
                measure=self.measure,
                reached=reached,
            )
        return Task(
            claim,
            work,
            self._state(claim, changelog, reached) if changelog else Stateless(),
            changelog=changelog.topic if changelog else None,
            topic=settings.topic,
            threads=self._threads,
            culprit=work.culprit if isinstance(work, Guarded) else None,
            measure=self.measure,
            reached=reached,
        )

    def _state(self, claim: Claim, changelog: Changelog, reached: Reached) -> Store:
        folder = self.slot.folder / str(claim.source)
        return restored(folder, claim, changelog, self.settings.brokers, reached=reached)

    # Watching

    def _watch(self, at_the_end: Callable[[Callable[[], None]], object]) -> None:
        loop, ended, limit = asyncio.get_running_loop(), threading.Event(), self.settings.stall.total_seconds()

        def bark(stuck: Stuck) -> None:
            self.deadline.begin(str(stuck))  # if it is the loop that hangs
            loop.call_soon_threadsafe(lambda: loop.create_task(self.failed(stuck)))

        threading.Thread(target=watch, args=(self.batches.watchdog, limit, ended, bark), daemon=True).start()
        at_the_end(ended.set)
        self.add_future(self._look_for_unread(Unread(limit)))

    async def _look_for_unread(self, unread: Unread) -> None:
        while not self.should_stop:
            await self.sleep(unread.pause_seconds)
            free = await self.batches.free()
            try:
                ends = await finish(self._threads, self._ends, list(free))
            except KafkaException:
                continue  # the broker is away: nothing can be fetched
            if stuck := unread.look(free, ends):
                await self.failed(stuck)

    def _ends(self, tps: Iterable[TP]) -> dict[TP, int]:
        return {tp: self._group.end(Source(tp.topic, self._topic_ids[tp.topic], tp.partition)) for tp in tps}

    # Metrics

    async def _report(self) -> None:
        while not self.should_stop:
            await self.sleep(self.settings.metrics_interval.total_seconds())
            for tp, records in (await self.batches.lag()).items():
                self.measure.set(LAG, records, topic=self.contract_name(tp.topic), partition=str(tp.partition))
            self.measure.report()
