"""An event that begins with another's fields, out of the other's bytes: they are copied, and only the rest is written.

Avro writes a record's fields one after the other, with neither names nor lengths around them: so this is exact.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

from schemas.instants import milliseconds
from schemas.registry import Schema

_WHOLE_NUMBERS = ("int", "long")


class Extension:
    """Writes what the events of one schema have beyond those of another that they begin with: whole numbers and times."""

    def __init__(self, base: Schema, schema: Schema) -> None:
        """Raises ValueError when the schema does not begin with the base's fields, or goes on with others than whole numbers."""
        shared = len(base["fields"])
        if list(map(_name_and_type, schema["fields"][:shared])) != list(map(_name_and_type, base["fields"])):
            raise ValueError(f"{schema['name']} does not begin with the fields of {base['name']}")
        self._values = attrgetter(*_numbers(schema["fields"][shared:]))

    def __call__(self, event: object) -> bytes:
        """The rest of the event's Avro."""
        values: tuple[Any, ...] = self._values(event)
        return b"".join(
            [_ONE_BYTE.get(value) or (_time(value) if isinstance(value, datetime) else varint(value)) for value in values]
        )


def _name_and_type(field: Schema) -> tuple[str, Any]:
    return field["name"], field["type"]


def _numbers(fields: list[Schema], within: str = "") -> Iterator[str]:
    """The attributes, through records in records, in the order in which they are written."""
    for field in fields:
        name, kind = within + field["name"], field["type"]
        if isinstance(kind, dict) and kind["type"] == "record":
            yield from _numbers(kind["fields"], f"{name}.")
        elif (kind["type"] if isinstance(kind, dict) else kind) in _WHOLE_NUMBERS:
            yield name
        else:
            raise ValueError(f"{name} is no whole number")


def varint(value: int) -> bytes:
    """A long in Avro: its sign last (zigzag), then 7 bits a byte, the lowest first."""
    rest = value << 1 ^ value >> 63
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


@lru_cache(maxsize=64)  # all events of a batch have the same
def _time(value: datetime) -> bytes:
    return varint(milliseconds(value))


_ONE_BYTE: dict[object, bytes] = {value: varint(value) for value in range(-64, 64)}
