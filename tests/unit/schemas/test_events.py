"""The typed events are the .avsc files, field for field."""

import dataclasses
import json
import types
from datetime import datetime
from typing import Union, get_args, get_origin, get_type_hints

import pytest

from schemas import events, registry
from tests.support import builders

pytestmark = pytest.mark.unit

PRIMITIVES = {"string": str, "boolean": bool, "int": int, "long": int, "float": float, "double": float, "bytes": bytes}


def files(pattern="*.avsc"):
    return sorted((registry.HERE / "avro").glob(pattern))


def records(node):
    if isinstance(node, list):
        for item in node:
            yield from records(item)
    elif isinstance(node, dict):
        if node.get("type") == "record":
            yield node
        for value in node.values():
            yield from records(value)


def python_type(avro, record):  # noqa: PLR0911 (one a kind of type)
    """The annotation that a field of this Avro type must have, in a comparable form."""
    if isinstance(avro, list):
        return frozenset(python_type(choice, record) for choice in avro)
    if avro == "null":
        return type(None)
    if isinstance(avro, str):
        return PRIMITIVES.get(avro) or getattr(events, avro.rpartition(".")[2])
    if avro.get("logicalType") == "timestamp-millis":
        return datetime
    if avro["type"] == "array":
        return ("array", python_type(avro["items"], record))
    if avro["type"] == "map":
        return ("map", python_type(avro["values"], record))
    return bytes if avro["type"] == "fixed" else getattr(events, avro["name"])


def annotation(hint):
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return frozenset(annotation(choice) for choice in get_args(hint))
    if origin is not None:
        arguments = get_args(hint)
        return ("map", arguments[1]) if len(arguments) == 2 else ("array", arguments[0])
    return hint


@pytest.mark.parametrize("path", files("**/*.avsc"), ids=lambda path: path.stem)
def test_dataclasses_have_the_fields_of_the_files(path):
    for record in records(json.loads(path.read_text())):
        kind = getattr(events, record["name"])
        hints = get_type_hints(kind)
        expected = {
            f["name"]: python_type(f["type"], record) for f in record["fields"] if f["name"] != "content_sha256"
        }
        actual = {name: annotation(hint) for name, hint in hints.items() if name != "content_sha256"}
        assert list(hints) == [f["name"] for f in record["fields"]]
        assert actual == expected


@pytest.mark.parametrize("path", files("**/*.avsc"), ids=lambda path: path.stem)
def test_every_field_and_record_is_documented(path):
    for record in records(json.loads(path.read_text())):
        assert record["doc"].strip()
        undocumented = [f["name"] for f in record["fields"] if not f.get("doc", "").strip()]
        assert undocumented == []


def test_every_file_is_an_event_and_every_event_a_file():
    assert {path.stem for path in files()} == {event.__name__ for event in events.EVENTS}


def test_everything_after_the_upload_carries_its_lineage():
    # Of what is about no upload, and of what waits, whose lineage is its photo's, there is nothing to carry.
    others = (events.PhotoUploaded, events.Metric, events.PhotoSeen, events.PhotoWaiting)
    after = [e for e in events.EVENTS if e not in others]
    assert all({"root", "attempt", "fill"} <= {f.name for f in dataclasses.fields(e)} for e in after)


def test_grouped_without_an_outcome_is_an_error():
    with pytest.raises(ValueError, match="neither enriched nor rejected"):
        _ = dataclasses.replace(builders.grouped(), enriched=None).outcome
