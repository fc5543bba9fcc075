"""Batches, epochs, and one thing at a time a partition; and of each private name of Faust and aiokafka in use, what breaks without it."""

import asyncio
import inspect
import re
import threading
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from types import SimpleNamespace

import aiokafka
import pytest
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import IllegalStateError, NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.app.base import App
from faust.transport.consumer import Consumer, ConsumerThread
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from agents.batch import Result
from schemas.metrics import BATCHES, RECORDS
from schemas.topics import EVENTS
from streams.app import AgentApp
from streams.consumer import BatchConsumer, Forgetful
from streams.reader import BatchThread, Taken
from streams.settings import Settings
from streams.topology import Flow

pytestmark = pytest.mark.unit

ONE, TWO = TP("photos.events", 1), TP("photos.events", 2)


@dataclass
class Task:
    """A claimed partition that notes what is asked of it; work ends when it may."""

    tp: TP
    position: int = 0
    settled: int = 0
    ran: list = field(default_factory=list)
    closed: bool = False
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def settle(self):
        self.settled += 1

    async def run(self, batch):
        await self.may_end.wait()
        self.ran.append(batch)
        self.position = batch.next

    def close(self):
        self.closed = True


class Host:
    """The app as the consumer sees it."""

    def __init__(self):
        self.claims = []
        self.failures = []
        self.claimed_all = 0
        self.measured = []

    @property
    def measure(self):
        return self

    def count(self, metric, amount=1, **labels):
        self.measured.append((metric, amount, labels))

    def observe(self, metric, seconds, **labels):
        self.measured.append((metric, labels))

    def contract_name(self, topic):
        return f"contract:{topic}"

    rest = 0.0

    def rest_seconds(self, topic):
        return self.rest

    async def claim(self, tp):
        self.claims.append(Task(tp))
        return self.claims[-1]

    async def close_task(self, task):
        task.close()

    def claimed(self):
        self.claimed_all += 1

    def reached(self, step):
        pass

    async def failed(self, error):
        self.failures.append(error)


class Log:
    """aiokafka, as far as the consumer's thread asks it: a partition's records come once from each seek on."""

    def __init__(self, thread):
        self.thread = thread
        self.records = {}
        self.asked = []
        self.seeks = []
        self.assigned = set()
        self._subscription = SubscriptionState()

    def seek(self, tp, offset):
        if tp not in self.assigned:
            raise IllegalStateError(f"no {tp}")
        self.seeks.append((tp, offset))

    def put(self, tp, *offsets):
        self.records.setdefault(tp, []).extend(_record(tp, offset) for offset in offsets)

    async def getmany(self, partitions, seconds):
        self.asked.append(set(partitions))
        taken = {tp: self.records.pop(tp) for tp in list(self.records) if tp in partitions}
        return {tp: Taken(self.thread._epochs.get(tp, 0), run) for tp, run in taken.items()}


def _record(tp, offset):
    return aiokafka.ConsumerRecord(*tp, offset, 1_700_000_000_000, 1, b"key", b"value", None, 3, 5, ())


async def nothing(batch, state):
    return Result()


@asynccontextmanager
async def opened(settings, measure):
    yield nothing


@pytest.fixture
async def app(tmp_path):
    """An app that is not started: nothing connects."""
    app = AgentApp(Flow("idle", (EVENTS,), opened), Settings(data=tmp_path, session=2))
    yield app
    app.batches._thread.thread_loop.close()


@pytest.fixture
def host():
    return Host()


@pytest.fixture
async def consumer(app, host):
    """The consumer, with both partitions assigned and nothing claimed yet."""
    consumer = app.batches
    consumer.host = host
    thread = consumer._thread
    thread._epochs = {}
    thread._consumer = log = Log(thread)

    async def call_thread(fun, *args, **kwargs):
        return await fun(*args, **kwargs)

    thread.call_thread = call_thread
    thread.getmany = log.getmany
    thread.assignment = lambda: set(log.assigned)
    consumer.log_of_test = log
    assign(consumer, ONE, TWO)
    return consumer


def assign(consumer, *tps):
    consumer.log_of_test.assigned = set(tps)
    consumer._set_active_tps(set(tps))


async def take(consumer):
    return {tp: message.value async for tp, message in consumer.getmany(0.01)}


async def quiet(consumer):
    """Until no partition is busy with anything."""
    async with asyncio.timeout(5):
        while tasks := [busy for busy in consumer._busy.values() if isinstance(busy, asyncio.Task)]:
            await asyncio.wait(tasks)


@pytest.fixture
async def claimed(consumer):
    await consumer.perform_seek()
    await quiet(consumer)
    return consumer


async def test_after_an_assignment_every_partition_is_claimed_sought_and_settled(claimed, host):
    assert {task.tp for task in host.claims} == {ONE, TWO}
    assert set(claimed.log_of_test.seeks) == {(ONE, 0), (TWO, 0)}
    assert [task.settled for task in host.claims] == [1, 1]
    assert host.claimed_all >= 1


async def test_a_message_is_one_partition_s_run_of_records(claimed):
    claimed.log_of_test.put(ONE, 5, 7, 8)
    claimed.log_of_test.put(TWO, 1)
    batches = await take(claimed)
    assert [record.offset for record in batches[ONE].records] == [5, 7, 8]
    assert (batches[ONE].topic, batches[ONE].partition, batches[ONE].next) == ("contract:photos.events", 1, 9)
    assert [record.offset for record in batches[TWO].records] == [1]


async def test_a_partition_has_one_batch_in_work_and_the_others_go_on(claimed, host):
    log = claimed.log_of_test
    log.put(ONE, 0)
    batch = (await take(claimed))[ONE]
    log.put(ONE, 1)
    log.put(TWO, 0)
    assert list(await take(claimed)) == [TWO]
    claimed.work(ONE, batch)
    assert await take(claimed) == {}, "its work has not ended"
    claimed.tasks[ONE].may_end.set()
    await quiet(claimed)
    assert [record.offset for record in (await take(claimed))[ONE].records] == [1]
    assert (RECORDS, 1, {"topic": "contract:photos.events"}) in host.measured
    assert (BATCHES, {"topic": "contract:photos.events"}) in host.measured


async def test_when_all_are_busy_nothing_is_asked_for_until_one_is_free(claimed):
    claimed.log_of_test.put(ONE, 0)
    claimed.log_of_test.put(TWO, 0)
    batches = await take(claimed)
    claimed.log_of_test.asked.clear()
    assert await take(claimed) == {}
    assert claimed.log_of_test.asked == []
    claimed.work(TWO, batches[TWO])
    claimed.tasks[TWO].may_end.set()
    await quiet(claimed)
    await take(claimed)
    assert claimed.log_of_test.asked == [{TWO}]


async def test_records_taken_before_a_seek_are_never_delivered_after_it(claimed):
    log = claimed.log_of_test
    getmany = log.getmany

    async def rebalanced_meanwhile(partitions, seconds):
        taken = await getmany(partitions, seconds)
        await claimed.wait_empty()
        await claimed.perform_seek()
        await quiet(claimed)
        return taken

    log.put(ONE, 5)
    claimed._thread.getmany = rebalanced_meanwhile
    assert await take(claimed) == {}
    claimed._thread.getmany = getmany
    log.put(ONE, 0)
    assert [record.offset for record in (await take(claimed))[ONE].records] == [0]


async def test_records_that_come_before_the_first_seek_are_not_delivered(consumer):
    consumer.log_of_test.put(ONE, 5)
    assert await take(consumer) == {}


async def test_when_records_have_to_be_dropped_nothing_passes_before_the_next_seek(claimed):
    log = claimed.log_of_test
    getmany = log.getmany

    async def stopped_meanwhile(partitions, seconds):
        claimed.stop_flow()
        return await getmany(partitions, seconds)

    log.put(ONE, 0)
    claimed._thread.getmany = stopped_meanwhile
    assert await take(claimed) == {}
    claimed._thread.getmany = getmany
    claimed.resume_flow()
    log.put(ONE, 1)
    assert await take(claimed) == {}, "0 would be lost"
    await claimed.perform_seek()
    await quiet(claimed)
    log.put(ONE, 0, 1)
    assert [record.offset for record in (await take(claimed))[ONE].records] == [0, 1]


async def test_a_batch_whose_partition_was_given_up_before_its_work_began_is_not_worked_on(claimed, host):
    claimed.log_of_test.put(ONE, 0)
    batch = (await take(claimed))[ONE]
    await claimed.wait_empty()
    await claimed.perform_seek()
    await quiet(claimed)
    claimed.work(ONE, batch)
    assert claimed._busy == {}


async def test_what_is_under_way_may_end_before_partitions_are_taken_away(claimed):
    claimed.log_of_test.put(ONE, 0)
    batch = (await take(claimed))[ONE]
    claimed.work(ONE, batch)
    giving_up = asyncio.create_task(claimed.wait_empty())
    await asyncio.sleep(0)
    claimed.tasks[ONE].may_end.set()
    await giving_up
    assert claimed.tasks[ONE].ran == [batch]


async def test_what_does_not_end_within_half_a_session_is_interrupted(claimed):
    claimed.log_of_test.put(ONE, 0)
    claimed.work(ONE, (await take(claimed))[ONE])
    began = asyncio.get_running_loop().time()
    await claimed.wait_empty()
    assert asyncio.get_running_loop().time() - began < 2 / 2 + 0.5
    assert claimed.tasks[ONE].ran == []
    assert claimed._busy == {}


class Deaf(Task):
    """Its commit hangs in a thread: it does not hear that it is interrupted."""

    async def run(self, batch):
        while not self.may_end.is_set():
            with suppress(asyncio.CancelledError):
                await self.may_end.wait()


async def test_a_stop_does_not_wait_for_ever_for_what_cannot_be_interrupted_and_leaves_its_task_open(claimed, app):
    task = claimed.tasks[ONE] = Deaf(ONE)
    claimed.log_of_test.put(ONE, 0)
    claimed.work(ONE, (await take(claimed))[ONE])
    app._stopped.set()
    began = asyncio.get_running_loop().time()
    await claimed.wait_empty()
    assert asyncio.get_running_loop().time() - began < 2 / 2
    other = claimed.tasks[TWO]
    claimed._thread.stop = lambda: asyncio.sleep(0)
    await BatchConsumer.on_stop(claimed)
    assert (task.closed, other.closed) == (False, True)
    task.may_end.set()
    await quiet(claimed)


async def test_in_a_rebalance_it_is_waited_for_or_its_partition_would_be_claimed_by_ourselves_beside_it(claimed):
    task = claimed.tasks[ONE] = Deaf(ONE)
    claimed.log_of_test.put(ONE, 0)
    claimed.work(ONE, (await take(claimed))[ONE])
    giving_up = asyncio.create_task(claimed.wait_empty())
    done, _ = await asyncio.wait([giving_up], timeout=2 / 2 + 0.3)
    assert not done
    task.may_end.set()
    await giving_up


async def test_what_is_under_way_is_watched_and_what_is_over_is_not(claimed):
    log = claimed.log_of_test
    assert claimed.watchdog.stuck(0) is None
    log.put(ONE, 0)
    batch = (await take(claimed))[ONE]
    assert "nobody took it up" in str(claimed.watchdog.stuck(0))
    claimed.work(ONE, batch)
    await asyncio.sleep(0)
    assert " in run" in str(claimed.watchdog.stuck(0))
    claimed.tasks[ONE].may_end.set()
    await quiet(claimed)
    assert claimed.watchdog.stuck(0) is None


async def test_a_free_partition_is_told_with_what_it_comes_to_next(claimed):
    async def ends(tps):
        return {TWO: (25, 30)}

    claimed._thread.ends = ends
    claimed.tasks[ONE].position, claimed.tasks[TWO].position = 10, 20
    assert await claimed.free() == {ONE: 10, TWO: 25}
    claimed._busy[ONE] = object()
    assert await claimed.free() == {TWO: 25}


async def test_while_none_is_free_aiokafka_hears_that_we_are_there(claimed):
    state = claimed.log_of_test._subscription
    claimed.log_of_test.put(ONE, 0)
    claimed.log_of_test.put(TWO, 0)
    await take(claimed)
    state._last_fetch_ended -= 1000
    assert state.fetcher_idle_time >= 1000
    await take(claimed)
    assert state.fetcher_idle_time < 1


async def test_a_partition_that_comes_back_keeps_its_task_and_is_sought_again(claimed, host):
    claimed.tasks[ONE].position = 7
    await claimed.wait_empty()
    await claimed.perform_seek()
    await quiet(claimed)
    assert len(host.claims) == 2
    assert (ONE, 7) in claimed.log_of_test.seeks


async def test_a_partition_that_does_not_come_back_is_closed(claimed, host):
    async def rest(*_):
        return None

    claimed._on_partitions_assigned = lambda *_: rest()
    lost = claimed.tasks[TWO]
    assign(claimed, ONE)
    await claimed.on_partitions_assigned({ONE})
    assert lost.closed
    assert set(claimed.tasks) == {ONE}
    assign(claimed)
    await claimed.on_partitions_assigned(set())
    assert claimed.tasks == {}


async def test_a_worker_without_partitions_is_ready_too(consumer, host):
    async def rest(*_):
        return None

    consumer._on_partitions_assigned = lambda *_: rest()
    assign(consumer)
    await consumer.on_partitions_assigned(set())
    assert host.claimed_all == 1


async def test_a_partition_taken_away_while_it_is_claimed_is_left_to_the_next_assignment(consumer, host):
    async def claim(tp):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return Task(tp)

    host.claim = claim
    assign(consumer, ONE)
    await consumer.perform_seek()
    await asyncio.sleep(0)
    await consumer.wait_empty()
    assert consumer.tasks[ONE].settled == 0
    assert consumer.log_of_test.seeks == []


async def test_a_partition_taken_away_while_it_was_settled_is_left_to_the_next_assignment(consumer, host):
    consumer.log_of_test.assigned = set()
    consumer._thread.assignment = lambda: {ONE}
    await consumer.perform_seek()
    await quiet(consumer)
    assert host.failures == []
    assert consumer.log_of_test.seeks == []


async def test_an_error_in_the_work_ends_the_process(claimed, host):
    async def run(batch):
        raise ValueError("a bug")

    claimed.tasks[ONE].run = run
    claimed.log_of_test.put(ONE, 0)
    claimed.work(ONE, (await take(claimed))[ONE])
    await quiet(claimed)
    assert [type(error) for error in host.failures] == [ValueError]


async def test_an_error_in_a_claim_ends_the_process(consumer, host):
    async def claim(tp):
        raise RuntimeError("no broker")

    host.claim = claim
    await consumer.perform_seek()
    await quiet(consumer)
    assert len(host.failures) == 2


async def test_lag_counts_what_is_not_committed_and_no_marker_at_the_end(claimed):
    async def ends(tps):
        return {ONE: (10, 11), TWO: (21, 21)}  # ONE's log goes on with a record; TWO ends with a marker that was taken

    claimed._thread.ends = ends
    claimed.tasks[ONE].position, claimed.tasks[TWO].position = 10, 20
    assert await claimed.lag() == {ONE: 1, TWO: 0}
    claimed._busy[TWO] = object()
    assert await claimed.lag() == {ONE: 1, TWO: 1}, "what is in work is not committed"


# Private names, and what breaks without them


async def test_create_worker_consumer_and_its_attributes_or_aborted_records_are_delivered_and_idle_partitions_delay_others(
    app,
):
    thread = app.batches._thread
    theirs = AIOKafkaConsumerThread._create_worker_consumer(thread, app.transport)
    assert (theirs._isolation_level, theirs._fetch_max_wait_ms) == ("read_uncommitted", 1500)
    ours = BatchThread._create_worker_consumer(thread, app.transport)
    assert (ours._isolation_level, ours._fetch_max_wait_ms) == ("read_committed", 100)
    await theirs.stop()
    await ours.stop()
    # They count if the fetcher, which is made at the start, is given them.
    start = inspect.getsource(aiokafka.AIOKafkaConsumer.start)
    assert "isolation_level=self._isolation_level" in start
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in start


class Fetcher:
    """aiokafka's fetcher, as far as _fetch_records asks it."""

    _closed = False
    _subscriptions = SimpleNamespace(fetch_context=nullcontext)

    def __init__(self, error=None):
        self.error = error

    async def fetched_records(self, partitions, **_):
        if self.error:
            raise self.error
        return {aiokafka.TopicPartition(*ONE): ["record"], aiokafka.TopicPartition(*TWO): ["other"]}


def fetch(thread, fetcher):
    thread._epochs = {ONE: 4}
    driver = SimpleNamespace(_fetcher=fetcher, _closed=False)
    return thread._fetch_records(driver, {ONE, TWO}, timeout=1, max_records=5)


async def test_fetch_records_or_records_are_not_stamped_with_their_epoch(app):
    assert "self._fetch_records" in inspect.getsource(AIOKafkaConsumerThread.getmany)
    taken = await fetch(app.batches._thread, Fetcher())
    assert taken == {ONE: Taken(4, ["record"]), TWO: Taken(0, ["other"])}


async def test_a_partition_without_a_position_that_is_not_sought_yet_is_no_error(app):
    assert await fetch(app.batches._thread, Fetcher(NoOffsetForPartitionError(ONE))) == {}


async def test_a_position_outside_the_log_is_one(app):
    with pytest.raises(OffsetOutOfRangeError):
        await fetch(app.batches._thread, Fetcher(OffsetOutOfRangeError({ONE: 7})))


def test_nothing_is_awaited_between_the_taking_of_records_and_their_return_or_a_seek_could_come_between():
    source = inspect.getsource(aiokafka.consumer.fetcher.Fetcher.fetched_records)
    taken = source.index("drained[tp] = records")
    returned = source.index("if drained or not timeout:")
    assert "await" not in source[taken:returned]


class Coordinator:
    """aiokafka's, as far as a goodbye asks it."""

    def __init__(self, member_id="member-1"):
        self.group_id, self.member_id, self.coordinator_id = "safelight-idle", member_id, 3


async def goodbye(app, coordinator):
    sent = []

    async def send(node, request):
        sent.append((node, request._group, request._member_id))

    thread = app.batches._thread
    thread._consumer = SimpleNamespace(_coordinator=coordinator, _client=SimpleNamespace(send=send))
    await thread.leave()
    return sent


async def test_coordinator_and_client_or_a_worker_whose_stop_hangs_cannot_say_goodbye(app):
    assert await goodbye(app, Coordinator()) == [(3, "safelight-idle", "member-1")]
    assert await goodbye(app, Coordinator(member_id="")) == [], "it is no member"
    assert {"group_id", "member_id", "coordinator_id"} <= set(vars_of(GroupCoordinator.__init__))
    # Another connection than the coordinator's own, on which a JoinGroup may be under way.
    assert inspect.signature(AIOKafkaClient.send).parameters["group"].default is ConnectionGroup.DEFAULT
    assert "group=ConnectionGroup.COORDINATION" in inspect.getsource(GroupCoordinator._send_req)


def test_close_or_connections_are_closed_before_the_group_is_left_when_a_stop_meets_a_rebalance(app):
    assert "self._consumer._client.close()" in inspect.getsource(AIOKafkaConsumerThread.close)
    assert "self.consumer.close()" in inspect.getsource(App._on_rebalance_when_stopped)
    app.batches.close()
    assert "await self._consumer.stop()" in inspect.getsource(AIOKafkaConsumerThread.on_thread_stop)


def vars_of(function):
    return set(re.findall(r"self\.(\w+)", inspect.getsource(function)))


async def test_a_goodbye_that_is_not_heard_is_no_error(app):
    thread = app.batches._thread
    thread.leave = asyncio.Event().wait
    there = threading.Thread(target=thread.thread_loop.run_forever)
    there.start()
    await app.batches.leave(0.05)
    thread.thread_loop.call_soon_threadsafe(thread.thread_loop.stop)
    there.join(10)
    thread.thread_loop.close()
    await app.batches.leave(0.05)


def test_subscription_s_fetch_context_or_an_outage_throws_the_worker_out_for_good():
    beat = inspect.getsource(GroupCoordinator._heartbeat_routine)
    assert "idle_time = self._subscription.fetcher_idle_time" in beat
    assert "await self._maybe_leave_group()" in beat
    assert "self._last_fetch_ended = time.monotonic()" in inspect.getsource(SubscriptionState.fetch_context)
    assert "fetch_context()" in inspect.getsource(AIOKafkaConsumerThread._fetch_records)


def test_ensure_consumer_or_there_is_nothing_to_seek():
    assert "_ensure_consumer" in vars(AIOKafkaConsumerThread)


def test_seek_drops_what_was_fetched_or_it_would_be_taken_in_the_new_epoch():
    assert "del self._records[tp]" in inspect.getsource(aiokafka.consumer.fetcher.Fetcher.seek_to)
    assert not inspect.iscoroutinefunction(aiokafka.AIOKafkaConsumer.seek)


def test_thread_and_new_consumer_thread_or_the_consumer_lives_in_faust_s_own_thread(app):
    assert isinstance(app.batches._thread, BatchThread)


def test_getmany_and_active_partitions_or_partitions_that_are_not_ours_are_read():
    drain = inspect.getsource(Consumer._drain_messages)
    assert "getmany = self.getmany" in drain
    assert {"_getmany", "_get_active_partitions"} <= set(dir(Consumer))
    assert "active_partitions" in inspect.signature(ConsumerThread.getmany).parameters


def test_to_message_or_faust_cannot_deliver(consumer):
    message = consumer._to_message(ONE, _record(ONE, 5))
    assert (message.tp, message.offset) == (ONE, 5)


def test_read_offset_or_faust_drops_what_is_read_again_and_collects_gaps_for_ever(consumer):
    assert isinstance(consumer._read_offset, Forgetful)
    consumer._read_offset[ONE] = 7
    assert consumer._read_offset[ONE] is None
    source = inspect.getsource(Consumer._drain_messages)
    assert "self._read_offset.__getitem__" in source
    assert "if r_offset is None or offset >= r_offset" in source


async def test_faust_commits_nothing(consumer):
    assert await consumer.commit() is False
    assert "self.commit(" in inspect.getsource(Consumer._commit_handler.fun)


# Resting


async def resting(consumer, host, *, there=0):
    """The one that rests after a batch, with so many records behind it in the log."""
    host.rest = 3600.0

    async def ends(tps):
        return dict.fromkeys(tps, (1, 1 + there))

    consumer._thread.ends = ends
    consumer.log_of_test.put(ONE, 0)
    batches = await take(consumer)
    task = consumer.tasks[ONE]
    task.may_end.set()
    consumer.work(ONE, batches[ONE])
    for _ in range(20):
        await asyncio.sleep(0)
    return consumer._busy.get(ONE)


async def test_records_gather_while_there_are_few(claimed, host):
    assert await resting(claimed, host) is not None
    assert [batch.next for batch in claimed.tasks[ONE].ran] == [1], "what was in hand is committed"


async def test_nobody_rests_while_there_are_many(claimed, host):
    assert await resting(claimed, host, there=500) is None


async def test_a_rest_ends_when_partitions_are_settled(claimed, host):
    rest = await resting(claimed, host)
    await asyncio.wait_for(claimed._settle(3600), 5)
    assert rest.cancelled()
    assert claimed._busy == {}
    assert host.failures == []
