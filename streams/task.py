"""A task is what one input partition is to the worker that has it (the word is Kafka Streams'). This is where exactly once lives.

One batch is one transaction: outputs, changes of the state and the new position appear together or not at all, whatever is
killed. So the work may be interrupted, repeated and differ. (A sink outside Kafka needs more: streams/pending.py.)
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Protocol

from agents.batch import Agent, Batch, Culprit, Result
from agents.measure import Measure
from schemas.topics import Topic
from streams.claim import Claim, Message
from streams.position import Position
from streams.step import Reached, Step, unwatched
from streams.threads import finish
from streams.tries import Tries

Changes = Mapping[bytes, bytes | None]
Work = tuple[list[Message], Changes]
"""What a batch comes to: what to publish, encoded, and the changes of the state."""


class PartitionState(Protocol):
    """What a task needs of its partition's state: streams/state.py has it."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where there is none."""

    def apply(self, changes: Changes, offset: int | None) -> None:
        """Write changes that are committed to the changelog up to `offset`."""

    def close(self) -> None:
        """Close it."""


class Task:
    """A claimed partition of an agent that reads from Kafka and writes to Kafka."""

    def __init__(
        self,
        claim: Claim,
        agent: Agent,
        state: PartitionState,
        *,
        changelog: str | None,
        topic: Callable[[Topic], str],
        threads: Executor,
        culprit: Culprit | None = None,
        measure: Measure | None = None,
        reached: Reached = unwatched,
    ) -> None:
        """`changelog`: its topic's name on the broker; `topic`: that of every other; `culprit`: how a record is rejected."""
        self._claim = claim
        self._agent = agent
        self._state = state
        self._changelog = changelog
        self._topic = topic
        self._threads = threads
        self._tries = Tries(claim, threads=threads, measure=measure)
        self._culprit = culprit
        self._reached = reached

    @property
    def position(self) -> int:
        """The offset of the next record to read."""
        return self._claim.position.offset

    async def settle(self) -> None:
        """Nothing is ever left half done."""

    async def run(self, batch: Batch) -> None:
        """Work on a batch and commit it; when it has failed before, by parts (streams/tries.py)."""
        for part in self._tries.parts(batch):
            await self._run(part)
            await asyncio.sleep(
                0
            )  # a stop is heard between two parts, though all their waiting was for what is never abandoned

    async def _run(self, part: Batch) -> None:
        """1. work  2. begin  3. publish outputs and changes  4. commit with the position  5. apply the changes to the local store."""
        self._reached(Step.READ)
        # 1. work
        made = await self._tries.make(part, self._work, self._reject if self._culprit else None)
        self._reached(Step.WORKED)
        await finish(self._threads, self._commit, *made.result, made.after)

    async def _work(self, part: Batch) -> Work:
        return await finish(self._threads, self._encoded, await self._agent(part, self._state))

    async def _reject(self, part: Batch, detail: str) -> Work:
        assert self._culprit  # noqa: S101 (for mypy: else nobody asks)
        return await finish(self._threads, self._encoded, await self._culprit(part, self._state, detail))

    def _encoded(self, result: Result) -> Work:
        if result.changes and self._changelog is None:
            raise ValueError("an agent without a changelog has changed its state")
        topic = self._topic
        return [Message(topic(output.topic), output.key, output.value) for output in result.outputs], result.changes

    def _commit(self, messages: Sequence[Message], changes: Changes, position: Position) -> None:
        """The steps that block. Never abandoned once begun; whatever fails, the process ends and the next claim aborts it."""
        # 2. begin
        self._claim.begin()
        self._reached(Step.BEGUN)
        # 3. publish outputs and changes
        self._claim.publish(messages)
        last_change = self._claim.publish_changes(self._changelog or "", changes)
        self._reached(Step.PUBLISHED)
        # 4. commit with the position
        self._claim.commit(position)
        self._reached(Step.COMMITTED)
        # 5. apply the changes to the local store
        self._state.apply(changes, last_change())
        self._reached(Step.APPLIED)

    def close(self) -> None:
        """Let go of the partition's state."""
        self._state.close()
