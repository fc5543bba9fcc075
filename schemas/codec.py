"""Events to bytes and back: Confluent wire format (a zero byte, the schema's id as 4 bytes big-endian, Avro binary)."""

import dataclasses
import struct
import types
from io import BytesIO
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import fastavro

from schemas import registry
from schemas.errors import Unreadable
from schemas.events import EVENTS, Event

E = TypeVar("E", bound=Event)

_HEADER = struct.Struct(">bI")
_CLASSES: dict[str, type[Event]] = {event.__name__: event for event in EVENTS}

# What fastavro raises on bytes that are not what the schema says (tests/property/test_codec.py feeds it nonsense).
_GARBAGE = (EOFError, ValueError, IndexError, TypeError, KeyError, OverflowError, MemoryError, struct.error)


def encode(event: Event) -> bytes:
    """The event in wire format, by its record's newest schema. Raises ValueError when a field does not fit its type."""
    number, schema = _current(type(event))
    out = BytesIO()
    out.write(_HEADER.pack(0, number))
    fastavro.schemaless_writer(out, schema, _to_avro(event))
    return out.getvalue()


def decode(data: bytes, *kinds: type[E]) -> E:
    """The event that the bytes hold, whatever version of its schema wrote it. Raises Unreadable: in words that name no content."""
    if len(data) < _HEADER.size or data[0] != 0:
        raise Unreadable("the value does not begin with a zero byte and a schema id (Confluent wire format)")
    number = _HEADER.unpack_from(data)[1]
    schema = registry.schemas_by_id().get(number)
    if schema is None:
        raise Unreadable(f"schema id {number} is not in schemas/ids.json")
    kind = _CLASSES[schema["name"].rpartition(".")[2]]
    if kind not in kinds:
        raise Unreadable(f"a {kind.__name__}, where {' or '.join(k.__name__ for k in kinds)} belongs")
    current, reader = _current(kind)
    body = BytesIO(data)
    body.seek(_HEADER.size)
    try:
        fields: Any = fastavro.schemaless_reader(body, schema, None if number == current else reader)
    except _GARBAGE as error:
        raise Unreadable(f"the bytes are not a {kind.__name__} of schema {number} ({type(error).__name__})") from error
    if body.tell() != len(data):
        raise Unreadable(f"{len(data) - body.tell()} bytes are left after a {kind.__name__} of schema {number}")
    decoded: E = _from_avro(kind, fields)
    return decoded


def _current(kind: type) -> tuple[int, registry.Schema]:
    number = registry.current_ids()[kind.__name__]
    return number, registry.schemas_by_id()[number]


_NESTED: dict[type, dict[str, type]] = {}


def _nested(kind: type) -> dict[str, type]:
    """The fields of a dataclass that hold dataclasses, or sequences of them, and which; looked up once a class."""
    if kind not in _NESTED:
        _NESTED[kind] = {}
        for name, hint in get_type_hints(kind).items():
            choices = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
            for candidate in (arg for choice in choices for arg in (choice, *get_args(choice))):
                if isinstance(candidate, type) and dataclasses.is_dataclass(candidate):
                    _NESTED[kind][name] = candidate
    return _NESTED[kind]


def _to_avro(event: Any) -> dict[str, Any]:
    fields: dict[str, Any] = vars(event)
    nested = _nested(type(event))
    if not nested:
        return fields
    fields = dict(fields)
    for name in nested:
        value = fields[name]
        if isinstance(value, list | tuple):
            fields[name] = [_to_avro(item) for item in value]
        elif value is not None:
            fields[name] = _to_avro(value)
    return fields


def _from_avro(kind: type, fields: dict[str, Any]) -> Any:
    for name, inner in _nested(kind).items():
        value = fields[name]
        if isinstance(value, list):
            fields[name] = [_from_avro(inner, item) for item in value]
        elif value is not None:
            fields[name] = _from_avro(inner, value)
    # As kind(**fields), without its one object.__setattr__ a field: half of the cost of reading an event.
    event: Any = object.__new__(kind)
    event.__dict__.update(fields)
    return event
