"""Events to bytes and back: Confluent wire format (a zero byte, the schema's id as 4 bytes big-endian, Avro binary)."""

import dataclasses
import struct
import types
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from io import BytesIO
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import fastavro

from schemas import registry
from schemas.errors import Unreadable
from schemas.events import EVENTS, Event, make
from schemas.instants import instant, milliseconds

E = TypeVar("E", bound=Event)

_HEADER = struct.Struct(">bI")
HEADER_BYTES = _HEADER.size
_CLASSES: dict[str, type[Event]] = {f"{registry.NAMESPACE}.{event.__name__}": event for event in EVENTS}

# What fastavro raises on bytes that are not what the schema says (tests/property/test_codec.py feeds it nonsense).
_GARBAGE = (EOFError, ValueError, IndexError, TypeError, KeyError, OverflowError, MemoryError, struct.error)


def encode(event: Event) -> bytes:
    """The event in wire format, by its record's newest schema. Raises ValueError or TypeError when a field does not fit its type."""
    begin = header(type(event))
    out = BytesIO()
    out.write(begin)
    fastavro.schemaless_writer(out, _forms()[begin].schema, _to_avro(event))
    return out.getvalue()


def decode(data: bytes, *kinds: type[E]) -> E:
    """The event that the bytes hold, whatever version of its schema wrote it. Raises Unreadable: in words that name no content."""
    form = _forms().get(data[:HEADER_BYTES])
    if form is None:
        raise Unreadable(_not_ours(data))
    kind: Any = form.kind
    if kind not in kinds:
        raise Unreadable(f"a {kind.__name__}, where {' or '.join(k.__name__ for k in kinds)} belongs")
    body = BytesIO(data)
    body.seek(HEADER_BYTES)
    try:
        event: E = _from_avro(kind, fastavro.schemaless_reader(body, form.schema, form.reader))
    except _GARBAGE as error:
        raise Unreadable(f"the bytes are not {form} ({type(error).__name__})") from error
    if body.tell() != len(data):
        raise Unreadable(f"{len(data) - body.tell()} bytes are left after {form}")
    return event


def _not_ours(data: bytes) -> str:
    if len(data) < HEADER_BYTES or data[0] != 0:
        return "the value does not begin with a zero byte and a schema id (Confluent wire format)"
    return f"schema id {_HEADER.unpack_from(data)[1]} is not in schemas/ids.json"


class _Form(NamedTuple):
    """One schema of the registry as events are written and read by it; times are numbers to fastavro (schemas/instants.py).

    `reader`: the record's newest schema, unless it is this one.
    """

    number: int
    kind: type[Event]
    schema: registry.Schema
    reader: registry.Schema | None

    def __str__(self) -> str:
        return f"a {self.kind.__name__} of schema {self.number}"


@cache
def _forms() -> dict[bytes, _Form]:
    """By what the events begin with."""
    numeric: dict[int, registry.Schema] = {}
    for number, schema in registry.schemas_by_id().items():
        numeric[number] = _with_bytes(fastavro.parse_schema(_numeric(schema)))
    forms = {}
    for number, schema in numeric.items():
        kind = _CLASSES[schema["name"]]
        current = registry.current_ids()[kind.__name__]
        forms[_HEADER.pack(0, number)] = _Form(number, kind, schema, None if number == current else numeric[current])
    return forms


def header(kind: type[Event]) -> bytes:
    """What the bytes of an event of this kind begin with."""
    return _HEADER.pack(0, registry.current_ids()[kind.__name__])


def headers(kind: type[Event]) -> dict[bytes, registry.Schema]:
    """What they begin with by each of its schemas, the newest last."""
    name = f"{registry.NAMESPACE}.{kind.__name__}"
    schemas = registry.schemas_by_id().items()
    return {_HEADER.pack(0, number): schema for number, schema in schemas if schema["name"] == name}


def _numeric(node: Any) -> Any:
    """A schema without its logical types, as if it was never parsed."""
    if isinstance(node, list):
        return [_numeric(item) for item in node]
    if isinstance(node, dict):
        return {
            key: _numeric(value) if key != "default" else value
            for key, value in node.items()
            if key != "logicalType" and not key.startswith("__")
        }
    return node


def _with_bytes(node: Any) -> Any:
    """A parsed schema whose defaults of bytes are bytes: Avro writes them as text, and fastavro gives them as they stand."""
    if isinstance(node, list):
        return [_with_bytes(item) for item in node]
    if isinstance(node, dict):
        copy = {key: _with_bytes(value) for key, value in node.items()}
        if node.get("type") == "bytes" and "default" in node:
            copy["default"] = node["default"].encode("latin-1")
        return copy
    return node


# Dataclasses to what fastavro knows, and back


class _Shape(NamedTuple):
    """Which fields of a dataclass hold times, and which hold dataclasses, or sequences of them."""

    times: tuple[str, ...]
    nested: Mapping[str, type]


_SHAPES: dict[type, _Shape] = {}


def _shape(kind: type) -> _Shape:
    """Looked up once a class."""
    if kind not in _SHAPES:
        _SHAPES[kind] = _look_up(kind)
    return _SHAPES[kind]


def _look_up(kind: type) -> _Shape:
    times, nested = [], {}
    for name, hint in get_type_hints(kind).items():
        choices = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        for candidate in (arg for choice in choices for arg in (choice, *get_args(choice))):
            if candidate is datetime:
                times.append(name)
            elif isinstance(candidate, type) and dataclasses.is_dataclass(candidate):
                nested[name] = candidate
    return _Shape(tuple(times), nested)


def _to_avro(event: Any) -> dict[str, Any]:
    fields = dict(vars(event))
    shape = _shape(type(event))
    for name in shape.times:
        if (at := fields[name]) is not None:
            fields[name] = milliseconds(at)
    for name in shape.nested:
        value = fields[name]
        if isinstance(value, list | tuple):
            fields[name] = [_to_avro(item) for item in value]
        elif value is not None:
            fields[name] = _to_avro(value)
    return fields


def _from_avro(kind: type, fields: Any) -> Any:
    shape = _shape(kind)
    for name in shape.times:
        if (number := fields[name]) is not None:
            fields[name] = instant(number)
    for name, inner in shape.nested.items():
        value = fields[name]
        if isinstance(value, list):
            fields[name] = [_from_avro(inner, item) for item in value]
        elif value is not None:
            fields[name] = _from_avro(inner, value)
    return make(kind, fields)
