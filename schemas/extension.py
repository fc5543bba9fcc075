"""An event that begins with another's fields, out of the other's bytes: they are copied, and only what is new is written.

Avro writes a record's fields one after the other, with neither names nor lengths around them: so this is exact, and spares
most of the cost of writing an event that differs little from the one that was just read.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from schemas import registry
from schemas.codec import header
from schemas.events import Event
from schemas.instants import milliseconds

_WHOLE_NUMBERS = ("int", "long")


class Extension:
    """Makes an event of one kind out of the bytes of one of another kind, with whose fields and values it begins."""

    def __init__(self, base: type[Event], kind: type[Event], *adds: str) -> None:
        """`adds`: the fields that are new, in the schema's order, those of a record in it as "root.offset": whole numbers or times.

        Raises ValueError when the newest schemas are not so.
        """
        begins, schema = (registry.schemas_by_id()[registry.current_ids()[each.__name__]] for each in (base, kind))
        shared = [_name_and_type(field) for field in begins["fields"]]
        if [_name_and_type(field) for field in schema["fields"][: len(shared)]] != shared:
            raise ValueError(f"{kind.__name__} does not begin with the fields of {base.__name__}")
        if tuple(_names(schema["fields"][len(shared) :])) != adds:
            raise ValueError(f"{kind.__name__} adds other fields to those of {base.__name__} than {', '.join(adds)}")
        self._base = header(base)
        self._header = header(kind)

    def __call__(self, data: bytes, *added: bytes) -> bytes | None:
        """The event in wire format: `data` as `decode` has taken it, `added` as `numbers` writes it, in one piece or several.

        None when another version of the base's schema wrote the data.
        """
        body = data.removeprefix(self._base)
        if len(body) == len(data):
            return None
        return b"".join((self._header, body, *added))


def numbers(*values: int | datetime) -> bytes:
    """Whole numbers and times in Avro: the sign last (zigzag), then 7 bits a byte, the lowest first."""
    out = bytearray()
    for value in values:
        number = milliseconds(value) if isinstance(value, datetime) else value
        rest = number << 1 ^ number >> 63
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
    return bytes(out)


def _name_and_type(field: registry.Schema) -> tuple[str, Any]:
    return field["name"], field["type"]


def _names(fields: list[registry.Schema], within: str = "") -> Iterator[str]:
    """The names of whole numbers, through records in records, in the order in which they are written."""
    for field in fields:
        name, kind = within + field["name"], field["type"]
        if isinstance(kind, dict) and kind["type"] == "record":
            yield from _names(kind["fields"], f"{name}.")
        elif (kind["type"] if isinstance(kind, dict) else kind) in _WHOLE_NUMBERS:
            yield name
        else:
            raise ValueError(f"{name} is no whole number")
