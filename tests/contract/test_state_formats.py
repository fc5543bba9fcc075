"""What an agent remembered once stays known, whatever becomes of its code.

golden_states.json holds, for every format that a changelog has ever had, entries in the bytes of the day when it was given: by
agent and format, the keys and values that the events below leave behind. Who changes how an agent remembers raises the format
(schemas/topics.py), reads the older one too, and adds a line (`python -m tests.contract.test_state_formats` prints what today's
code writes); a line that is there never changes.
"""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from agents.admit import Rules, admit
from agents.batch import Batch
from agents.enrich import Seen, enrich
from agents.group import group
from schemas import codec
from schemas.events import Root
from schemas.partitioning import partition_of
from schemas.topics import ADMITTED, ENRICHED, EVENTS
from streams.topology import FLOWS
from tests.support.batches import Counted, Read, batch
from tests.support.builders import NOON, admitted, enriched, rejected, seen, uploaded

pytestmark = pytest.mark.contract

PATH = Path(__file__).with_name("golden_states.json")
OWNER = b"owner-1"
RULES = Rules(generation=1, partitions=8, remember=timedelta(days=30), hash_key=b"key", version="0.1.0")


SEEN = seen()


class Remembered(dict):
    """A partition's state."""

    def get_many(self, keys):
        return [self.get(key) for key in keys]


def as_of_then(event):
    """An upload in the bytes of schema 1, which had no `redrive`: of what is refused, admit remembers a hash of the bytes."""
    value = codec.encode(event)
    assert value[-1:] == b"\0", "no redrive, which is the last field"
    return value[:1] + (1).to_bytes(4, "big") + value[5:-1]


def work_of(agent, state):
    """What an agent makes of its events: a photo that is seen, and one that is refused."""
    if agent == "admit":
        events = [uploaded(), uploaded(event_id="event-2", size_bytes=-1)]
        read = [Read(as_of_then(event), n, round(NOON.timestamp() * 1000), OWNER) for n, event in enumerate(events)]
        given = Batch(EVENTS.name, partition_of(OWNER, 8), read)
        return asyncio.run(admit(given, state, rules=RULES, clock=lambda: NOON, measure=Counted()))
    if agent == "enrich":
        return asyncio.run(
            enrich(
                batch(ADMITTED, admitted()),
                state,
                look=sees,
                keep=timedelta(days=7),
                version="0.1.0",
                clock=lambda: NOON,
                measure=Counted(),
            )
        )
    outcomes = [enriched(), rejected(photo_id="photo-2", root=Root(1, 3, 43))]
    return asyncio.run(group(batch(ENRICHED, *outcomes), state, hash_key=b"key", measure=Counted()))


async def sees(_photo, content):
    """A look that asks models only about what is not known."""
    if content.known is None:
        content.known = SEEN
        return Seen(SEEN, [])
    assert content.known == SEEN
    return Seen(content.known, content.known.models)


def today(agent):
    return {key.hex(): value.hex() for key, value in work_of(agent, Remembered()).changes.items()}


def golden():
    return json.loads(PATH.read_text())


def test_every_format_up_to_today_s_has_its_entries():
    for agent, flow in FLOWS.items():
        if flow.changelog:
            assert set(golden()[agent]) == {str(number) for number in range(1, flow.changelog.format + 1)}


@pytest.mark.parametrize("agent", sorted(golden()))
def test_today_s_code_writes_today_s_format(agent):
    assert today(agent) == golden()[agent][str(FLOWS[agent].changelog.format)]


@pytest.mark.parametrize(
    ("agent", "number"), [(agent, number) for agent, formats in golden().items() for number in formats]
)
def test_what_was_remembered_in_any_format_is_known(agent, number):
    state = Remembered({bytes.fromhex(key): bytes.fromhex(value) for key, value in golden()[agent][number].items()})
    worked = work_of(agent, state)
    assert worked.changes == {}, "it takes for new what it knew"
    assert [output.event.models for output in worked.outputs] == ([SEEN.models] if agent == "enrich" else [])


if __name__ == "__main__":
    print(json.dumps({agent: today(agent) for agent in ("admit", "enrich", "group")}, indent=1))  # noqa: T201 (to be read)
