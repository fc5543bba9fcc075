"""Turns follow a server that is simulated: batches of some size, some instances, each computed in some time."""

import asyncio

import pytest

from agents.vision.turns import QUEUED, Measured, Turns

pytestmark = pytest.mark.unit


class Server:
    """A model in simulated time: whoever has a turn is in its queue, or computed with others as a batch."""

    def __init__(self, *, batch, instances=1, base=2.0, each=10.0):
        self.batch, self.instances, self.base, self.each = batch, instances, base, each
        self.requests = self.queue = self.compute = 0.0

    def serve(self, in_flight, seconds):
        """All of them asked again as soon as they are answered, for so long; milliseconds inside."""
        now, queue, free = 0.0, [0.0] * in_flight, [0.0] * self.instances
        running = []
        while now < seconds * 1000:
            while queue and min(free) <= now:
                taken, queue = queue[: self.batch], queue[self.batch :]
                cost = self.base + self.each * len(taken)
                self.requests += len(taken)
                self.queue += sum(now - came for came in taken)
                self.compute += cost * len(taken)
                free[free.index(min(free))] = now + cost
                running.append((now + cost, len(taken)))
            running.sort()
            if not running:
                break
            now, count = running.pop(0)
            queue += [now] * count

    def measured(self):
        return Measured(int(self.requests), int(self.queue * 1e6), int(self.compute * 1e6))


async def settled(server, *, wanting=1000, looks=60):
    """The limit after so many looks with so many who want a turn."""
    turns = Turns()

    async def one(begun):
        async with turns:
            begun.append(1)
            await asyncio.Event().wait()

    begun = []
    tasks = [asyncio.create_task(one(begun)) for _ in range(wanting)]
    limits = []
    for _ in range(looks):
        await asyncio.sleep(0)
        server.serve(min(turns.limit, wanting), 5)
        turns.look(server.measured())
        limits.append(turns.limit)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert turns._taken == 0, "what was cancelled is given back"
    return limits[-20:], len(begun)


@pytest.mark.parametrize(
    ("batch", "instances", "least", "most"),
    [(8, 1, 15, 24), (1, 1, 2, 3), (1, 4, 8, 12), (8, 2, 28, 44), (32, 1, 60, 90)],
)
async def test_a_model_is_kept_busy_and_its_queue_short(batch, instances, least, most):
    limits, _ = await settled(Server(batch=batch, instances=instances))
    assert least <= min(limits)
    assert max(limits) <= most


async def test_who_asks_little_does_not_raise_the_limit():
    limits, begun = await settled(Server(batch=8), wanting=2)
    assert (set(limits), begun) == ({4}, 2)


async def test_a_queue_of_others_is_given_way_to():
    turns = Turns()
    turns.look(Measured(0, 0, 0))
    turns.look(Measured(100, 100 * 50, 100))
    assert turns.limit == 2
    for n in range(2, 20):
        turns.look(Measured(100 * n, 100 * 50 * n, 100 * n))
    assert turns.limit == 1, "one goes on: else nothing would be known any more"


async def test_a_server_that_was_started_anew_is_believed_from_then_on():
    turns = Turns()
    turns.look(Measured(1000, 10**9, 10**9))
    turns.look(Measured(10, 10**7, 10**7))
    assert turns.limit == 4


async def test_turns_come_in_order_and_a_cancelled_one_passes_on():
    turns, order, free = Turns(), [], asyncio.Event()

    async def one(n):
        async with turns:
            order.append(n)
            await free.wait()

    tasks = [asyncio.create_task(one(n)) for n in range(10)]
    await asyncio.sleep(0)
    assert order == [0, 1, 2, 3]
    tasks[5].cancel()
    tasks[0].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == [0, 1, 2, 3, 4]
    free.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert QUEUED > 1
