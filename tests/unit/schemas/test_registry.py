"""Ids are given once and mean the same for ever."""

import json

import pytest

from schemas import registry

pytestmark = pytest.mark.unit


def entries():
    return json.loads((registry.HERE / "ids.json").read_text())


def test_ids_count_from_one_without_gaps():
    assert [entry["id"] for entry in entries()] == list(range(1, len(entries()) + 1))


def test_every_file_is_what_its_newest_id_says():
    """Fails when a file was edited: `python -m schemas.registry` gives the new version its id."""
    records = [path.stem for path in (registry.HERE / "avro").glob("*.avsc")]
    assert registry.with_new_ids(entries(), records) == entries()


def test_a_changed_record_gets_a_new_id_and_keeps_the_old():
    first = registry.with_new_ids([], ["DeadLetter"])
    changed = json.loads(json.dumps(first).replace('"payload_bytes"', '"old_name"'))
    assert registry.with_new_ids(changed, ["DeadLetter"]) == [*changed, {"id": 2, "schema": first[0]["schema"]}]


def test_a_record_spelled_out_defines_every_type_once():
    text = json.dumps(registry.spelled_out("PhotoGrouped"))
    assert text.count('"name": "Root"') == 1
    assert text.count('"name": "PhotoEnriched"') == 1
    assert '"doc"' not in text
