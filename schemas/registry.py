"""Schema ids: schemas/ids.json maps each id to a record's schema as it was when the id was given. Append-only.

Confluent wire format names the writer's schema by its id, and a reader resolves by it, so an id never changes its meaning:
a changed .avsc file gets a new id (`python -m schemas.registry`), and the old one stays readable.
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import fastavro

from schemas.events import EVENTS

HERE = Path(__file__).parent
NAMESPACE = "io.safelight"

Schema = dict[str, Any]


def spelled_out(record: str) -> Schema:
    """The record's schema from its file, complete in itself: what it refers to in other files stands in it, once."""
    schema: Schema = _spell_out(_load(record), set())
    return schema


def _load(record: str) -> Schema:
    files = HERE / "avro"
    part = files / "parts" / f"{record}.avsc"  # what several records have, and no record by itself
    schema: Schema = json.loads((part if part.exists() else files / f"{record}.avsc").read_text())
    return schema


def _spell_out(node: Any, defined: set[str]) -> Any:
    if isinstance(node, list):
        return [_spell_out(item, defined) for item in node]
    if isinstance(node, dict):
        if node.get("type") in ("record", "fixed"):
            if node["name"] in defined:
                return f"{NAMESPACE}.{node['name']}"
            defined.add(node["name"])
        # The documentation is for people; the wire does not need it.
        return {
            key: _spell_out(value, defined) if key != "default" else value
            for key, value in node.items()
            if key != "doc"
        }
    if isinstance(node, str) and node.startswith(f"{NAMESPACE}."):
        record = node.removeprefix(f"{NAMESPACE}.")
        return node if record in defined else _spell_out(_load(record), defined)
    return node


@cache
def schemas_by_id() -> dict[int, Schema]:
    """Every schema that was ever given an id, parsed."""
    parsed: dict[int, Any] = {entry["id"]: fastavro.parse_schema(entry["schema"]) for entry in _entries()}
    return parsed


@cache
def current_ids() -> dict[str, int]:
    """Each record's newest id, by its name without namespace."""
    return {entry["schema"]["name"]: entry["id"] for entry in _entries()}


def _entries() -> list[Schema]:
    entries: list[Schema] = json.loads((HERE / "ids.json").read_text())
    return entries


def with_new_ids(entries: list[Schema], records: Iterable[str]) -> list[Schema]:
    """The entries, and a new one for each record whose file differs from its newest entry."""
    entries = list(entries)
    for record in records:
        schema = spelled_out(record)
        newest = [entry["schema"] for entry in entries if entry["schema"]["name"] == record]
        if newest[-1:] != [schema]:
            entries.append({"id": len(entries) + 1, "schema": schema})
    return entries


def _append() -> None:
    path = HERE / "ids.json"
    entries = _entries() if path.exists() else []
    records = [event.__name__ for event in EVENTS]
    lines = ",\n".join(json.dumps(entry) for entry in with_new_ids(entries, records))
    path.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    _append()
