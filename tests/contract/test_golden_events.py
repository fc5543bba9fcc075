"""Bytes that were once published stay readable, whatever becomes of the schemas.

golden_events.json holds one event for every id in schemas/ids.json, in the bytes of the day when the id was given. A new id
needs its bytes there (`python -m tests.contract.test_golden_events` prints them); a line that is there never changes.
"""

import json
from pathlib import Path

import pytest

from schemas import codec, registry
from schemas.events import EVENTS
from tests.support import builders

pytestmark = pytest.mark.contract

GOLDEN = {
    int(number): bytes.fromhex(text)
    for number, text in json.loads(Path(__file__).with_name("golden_events.json").read_text()).items()
}


_LABELS_ALONE = builders.enriched(
    models=builders.enriched().models[:1], camera=None, pdq=b"", pdq_quality=0, sharpness=0.0
)
BEFORE = {1: builders.uploaded(), 3: _LABELS_ALONE, 5: builders.grouped(_LABELS_ALONE)}
"""What ids that are no longer the newest of their record were given for."""


def test_every_id_has_its_golden_event():
    assert set(GOLDEN) == set(registry.schemas_by_id())


@pytest.mark.parametrize("number", sorted(GOLDEN))
def test_a_golden_event_reads_as_what_was_written(number):
    event = codec.decode(GOLDEN[number], *EVENTS)
    expected = BEFORE.get(number) or {type(sample): sample for sample in builders.EVERY_KIND}[type(event)]
    assert int.from_bytes(GOLDEN[number][1:5], "big") == number
    assert event == expected


if __name__ == "__main__":
    samples = {codec.encode(event)[4]: codec.encode(event).hex() for event in builders.EVERY_KIND}
    print(json.dumps(dict(sorted(samples.items())), indent=1))  # noqa: T201 (to be read)
