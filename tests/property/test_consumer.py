"""The consumer, while its group rebalances at any moment: a batch is the log's next records, and a partition has one thing to do."""

import asyncio
from contextlib import contextmanager
from functools import partial

import pytest
from confluent_kafka import KafkaException
from faust.types import TP
from hypothesis import strategies as st
from hypothesis.stateful import rule

from schemas.topics import EVENTS
from streams.app import AgentApp
from streams.settings import Settings
from streams.topology import Flow
from tests.property.group import Accident, Aiokafka, Calls, Host, Partitions
from tests.property.machine import LEAST, Broken, Machine, events, holds, is_refuted, promised, scratch
from tests.support.mutants import Mutant, loaded
from tests.support.stepping import Loop, Process

pytestmark = pytest.mark.property

ONE, TWO = TPS = TP(EVENTS.name, 0), TP(EVENTS.name, 1)
TP_ = st.sampled_from(TPS)
PARTS = ["calls", "network", "answers", "stream", "work"]
SLOW = st.tuples(st.sampled_from([None, "network", *PARTS]), st.integers(1, 3))
"""Which part is slow, and for how long: so many events that make the others go on."""
NOTHING = None, 0
SESSION_SECONDS = 2
LONGEST_END = 500  # steps


class Consumers(Machine):
    def __init__(self, *mutants):
        super().__init__()
        modules = loaded(("reader", "consumer"), mutants, {})
        self.module = modules["consumer"]
        self.loop = Loop()
        self.partitions = Partitions(list(TPS))
        self._folder = scratch()
        self.start()
        self.is_slow(("network", 1))
        self.all_go_on(10)  # to where both are claimed, and a fetch is under way

    def start(self):
        """A worker, which is given both partitions."""
        self.process = Process(self.loop)
        self.host = Host(self.partitions, self.process)
        self.consumer = self.loop.run_until_complete(self.new_consumer())
        self.host.crash = self.consumer._crash
        thread = self.consumer._thread
        thread.thread_loop.close()
        self.aiokafka = thread._consumer = Aiokafka(self.partitions, self.loop)
        thread.assignment = self.aiokafka.assignment
        self.calls = thread.call_thread = Calls(self.loop)
        thread._epochs = {}
        thread.others_go_on = self.aiokafka.network.others_go_on  # for mutants
        self.members = set()  # of the partitions: those that the group has given to this worker
        self.stream = []  # batches that were delivered
        self.stream_is_full = False
        self.generation = 0
        self.rebalancing = None
        self.resuming = set()
        self.draining = self.loop.create_task(self.drain())
        self.rebalances(set(TPS))

    async def new_consumer(self):
        app = AgentApp(Flow("idle", (EVENTS,), None), Settings(data=self._folder.name, session=SESSION_SECONDS))
        return self.module.BatchConsumer(
            self.module.BatchTransport(app.conf.broker, app=app, host=self.host),
            callback=None.__class__,
            on_partitions_revoked=self.revoked,
            on_partitions_assigned=self.assigned,
            loop=self.loop,
            beacon=app.beacon,
        )

    # What Faust does with a consumer

    async def drain(self):
        while True:
            async for tp, message in self.consumer.getmany(1.0):
                if self.stream_is_full:
                    await self.process.pause()
                self.stream.append((tp, message.value))

    async def revoked(self, revoked):
        if self.aiokafka.assignment():
            self.consumer.stop_flow()
            self.consumer.pause_partitions(self.aiokafka.assignment())
            await self.consumer.wait_empty()

    async def assigned(self, assigned, generation):
        self.consumer.pause_partitions(assigned)
        self.resuming.add(self.loop.create_task(self.resume(generation)))

    async def resume(self, generation):
        await self.process.pause()
        if generation != self.generation:
            return
        if assignment := self.aiokafka.assignment():
            self.consumer.resume_partitions(assignment)
            await self.consumer.perform_seek()
        self.consumer.resume_flow()

    async def rebalance(self, members):
        await self.consumer.on_partitions_revoked(self.aiokafka.assignment())
        self.members = members
        await self.process.pause()  # the others have theirs, and this one has not heard yet
        self.generation += 1
        self.aiokafka.assign(members)
        await self.consumer.on_partitions_assigned(members, self.generation)

    # What happens

    @rule(
        event=events(
            go_on=(5, st.lists(st.sampled_from(PARTS), min_size=1, max_size=12)),
            all_go_on=(4, st.integers(1, 12)),
            is_slow=(2, SLOW),
            time_passes=(1, st.sampled_from([0.01, 1, SESSION_SECONDS])),
            the_flow_stops_for_a_moment=(2, st.integers(1, 3)),
            the_fetcher_begins_anew=(2,),
            the_stream_has_room=(1, st.booleans()),
            rebalances=(3, st.sampled_from([{ONE}, {TWO}, {ONE, TWO}, {ONE, TWO}]), SLOW),
            others_work=(1, TP_, st.integers(0, 3), st.booleans()),
            records_are_appended=(1, TP_, st.lists(st.integers(0, 2), min_size=1, max_size=5)),
        )
    )
    def happens(self, event):
        self.go_through(event)

    def go_on(self, parts):
        """Each part by one thing that stands still, but for the part that is slow."""
        slow, left = self.slow
        self.slow = (slow, left - 1) if left else NOTHING
        for part in parts:
            if part == slow:
                continue
            if part == "calls":
                self.calls.go_on()
            elif part == "network" and self.rebalancing.done():  # aiokafka's fetch waits for the assignment
                self.aiokafka.network.go_on()
            elif part == "answers":
                self.calls.answers.go_on()
            elif part == "stream" and self.stream:
                self.loop.call_soon(self.consumer.work, *self.stream.pop(0))
                self.loop.idle()
            elif part == "work":
                self.process.go_on()

    def all_go_on(self, times):
        self.go_on(PARTS * times)

    def is_slow(self, slow):
        self.slow = slow

    def time_passes(self, seconds):
        self.loop.now += seconds
        self.loop.idle()

    def the_flow_stops_for_a_moment(self, times):
        if self.consumer.flow_active:
            self.consumer.stop_flow()
            self.all_go_on(times)
            self.consumer.resume_flow()
            self.loop.idle()

    def the_fetcher_begins_anew(self):
        self.draining.cancel()
        self.loop.idle()
        self.draining = self.loop.create_task(self.drain())
        self.loop.idle()

    def the_stream_has_room(self, room):
        self.stream_is_full = not room

    def a_batch_will_fail(self):
        self.partitions.accidents = 1

    def rebalances(self, members, slow=NOTHING):
        self.slow = slow
        if self.rebalancing is None or self.rebalancing.done():
            self.rebalancing = self.loop.create_task(self.rebalance(members))
            self.loop.idle()

    def others_work(self, tp, records, interrupted):
        if tp not in self.members:
            self.partitions.owner[tp] = "another"
            for offset in self.partitions.readable(tp, self.partitions.committed[tp])[:records]:
                self.partitions.commit(tp, "another", offset + 1)
            if interrupted:
                self.partitions.pending.add(tp)

    def records_are_appended(self, tp, gaps):
        self.partitions.append(tp, gaps)

    # The promise: the tasks look themselves

    def look(self):
        for task in (self.draining, self.rebalancing, *self.resuming):
            if task and task.done():
                task.result()
        if isinstance(self.host.failure, KafkaException | Accident):  # the process ends, and the next one begins
            self.end()
            self.start()
        elif isinstance(self.host.failure, Broken):
            raise self.host.failure
        else:
            promised("the process does not end", self.host.failure is None, self.host.failure)

    def end(self):
        """The process is gone."""
        tasks = set()
        while left := asyncio.all_tasks(self.loop):
            tasks |= left
            for part in (self.aiokafka.network, self.calls.answers, self.process):
                part.kill()
            for task in left:
                task.cancel()
            self.loop.idle()
        for task in tasks:
            if not task.cancelled():
                task.exception()  # seen

    def teardown(self):
        try:
            self.come_to_an_end()
        finally:
            self.end()
            self.loop.close()
            self._folder.cleanup()

    def come_to_an_end(self):
        """The worker is given all partitions, and all goes on."""
        self.slow, given = NOTHING, None
        for _ in range(LONGEST_END):
            if given is not self.process and self.rebalancing.done():
                self.rebalances(set(TPS))
                given = self.process
            if not any(self.partitions.readable(tp, self.partitions.committed[tp]) for tp in TPS):
                break
            self.all_go_on(1)
            self.time_passes(0.1)
            self.look()
        else:
            promised("every record is worked on at last", False, self.partitions.committed, self.partitions.logs)


def test_a_batch_is_the_log_s_next_records():
    holds(Consumers, least=LEAST["consumer"])


MUTANTS = {
    "records of an earlier epoch do not pass": [
        Mutant("consumer", "epoch != self._epochs.get(tp)", "tp not in self._epochs")
    ],
    "a partition has one batch at a time": [
        Mutant("consumer", "{tp for tp in active if tp not in self._busy}", "set(active)")
    ],
    "a partition is busy until it is settled": [
        Mutant(
            "consumer", "self._begin(tp, self._take_up, tp)", "self._begin(tp, self._take_up, tp); del self._busy[tp]"
        )
    ],
    "a batch whose partition was given up is not worked on": [
        Mutant("consumer", "self._busy.get(tp) is batch", "True")
    ],
    "a fetch is waited for, whoever was interrupted": [Mutant("consumer", "self._fetch is None", "True")],
    "what was delivered before is not begun after a rebalance": [
        Mutant(
            "consumer",
            "self._busy = {tp: busy for tp, busy in self._busy.items() if isinstance(busy, asyncio.Task)}",
        )
    ],
    "what is under way has ended before partitions are given up": [
        Mutant("consumer", "await self._settle(0)", times=2),
        Mutant("consumer", "await self._settle(session / 2)"),
    ],
}


@pytest.mark.parametrize("mutants", MUTANTS.values(), ids=MUTANTS)
def test_without_this_rule_it_is_not(mutants):
    is_refuted(lambda: Consumers(*mutants))


@contextmanager
def history(*mutants):
    """One of our own, of a worker that has both partitions and a fetch under way; Broken if it should not have happened."""
    consumers = Consumers(*mutants)
    try:
        consumers.is_slow(("network", 1000))
        consumers.all_go_on(12)
        yield consumers
        consumers.all_go_on(12)
        consumers.look()
    finally:
        consumers.teardown()


def the_flow_stops(*mutants):
    with history(*mutants) as consumers:
        consumers.is_slow(NOTHING)
        consumers.the_flow_stops_for_a_moment(2)


def a_batch_fails(*mutants):
    with history(*mutants) as consumers:
        consumers.is_slow(NOTHING)
        consumers.a_batch_will_fail()


def interrupted(*mutants):
    """The fetcher begins anew when one of two batches that were taken together is not delivered yet."""
    with history(*mutants) as consumers:
        consumers.is_slow(NOTHING)
        consumers.all_go_on(100)  # to where both have nothing to do
        for tp in TPS:
            consumers.records_are_appended(tp, [0, 0, 0, 0, 0])
        consumers.the_stream_has_room(False)
        for part in PARTS * 10:
            if not consumers.consumer._taken:
                consumers.go_on([part])
        assert consumers.consumer._taken
        consumers.the_fetcher_begins_anew()
        consumers.the_stream_has_room(True)


def sought_again(*mutants):
    """The fetch comes to its end when the partitions are sought again, before or after that."""
    with history(*mutants) as consumers:
        for _ in range(2):  # with the first, the one that is sought last may be the one that is fetched
            consumers.rebalances({ONE, TWO}, ("network", 1000))
            consumers.all_go_on(12)
        consumers.is_slow(NOTHING)


def lost_and_regained(slow, until, *mutants):
    """The fetch comes to its end when ONE was lost and is regained, and the worker is at something."""
    with history(*mutants) as consumers:
        consumers.is_slow((slow, 1000))
        consumers.all_go_on(1)
        consumers.rebalances({TWO}, (slow, 1000))
        consumers.all_go_on(12)
        consumers.others_work(ONE, 1, interrupted=True)
        consumers.rebalances({ONE, TWO}, (slow, 1000))
        consumers.time_passes(SESSION_SECONDS)
        for part in ["work", "calls", "answers"] * 20:
            if not until(consumers.consumer):
                consumers.go_on([part])
        assert until(consumers.consumer)
        consumers.is_slow(("work", 1000))


def claims_one(consumer):
    return ONE in consumer._busy and ONE not in consumer.tasks


def settles_one(consumer):
    return ONE in consumer.tasks and consumer.tasks[ONE].at == "settles"


SEEK = """
epoch = self._epochs[tp] = self._next_epoch()
with suppress(IllegalStateError):
    await self._thread.call_thread(self._thread.seek_to, tp, task.position, epoch)
"""
HISTORIES = {
    "nothing is delivered behind a batch that failed": (
        a_batch_fails,
        Mutant("consumer", "self.should_stop", "False"),
    ),
    "when records are dropped their epoch is over": (the_flow_stops, Mutant("consumer", "del self._epochs[tp]")),
    "what was taken is delivered, whoever was interrupted": (
        interrupted,
        Mutant("consumer", "not self._taken", "True"),
    ),
    "an epoch does not begin before its seek": (
        sought_again,
        Mutant(
            "reader",
            "self._ensure_consumer().seek(tp, offset); self._epochs[tp] = epoch",
            "self._epochs[tp] = epoch; await self.others_go_on(); self._ensure_consumer().seek(tp, offset)",
        ),
    ),
    "an epoch does not begin after its seek": (
        sought_again,
        Mutant("reader", "self._epochs[tp] = epoch", "await self.others_go_on(); self._epochs[tp] = epoch"),
    ),
    "a partition is settled before it is sought": (
        partial(lost_and_regained, "network", settles_one),
        Mutant("consumer", f"await task.settle(){SEEK}", f"{SEEK}await task.settle()"),
    ),
    "with an assignment epochs are over": (
        partial(lost_and_regained, "answers", claims_one),
        Mutant("consumer", "self._epochs.clear()"),
    ),
}
"""Rules that few histories need."""


@pytest.mark.parametrize(("happens", "mutant"), HISTORIES.values(), ids=HISTORIES)
def test_without_this_rule_this_history_breaks_it(happens, mutant):
    happens()
    with pytest.raises(Broken):
        happens(mutant)
