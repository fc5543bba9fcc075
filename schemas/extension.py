"""An event that begins with another's fields, out of the other's bytes: they are copied, and only what is new is written.

Avro writes a record's fields one after the other, with neither names nor lengths around them: so this is exact, and spares
most of the cost of writing an event that differs little from the one that was just read.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from schemas import registry
from schemas.codec import HEADER_BYTES, header, headers
from schemas.events import Event
from schemas.instants import milliseconds

_WHOLE_NUMBERS = ("int", "long")


class Extension:
    """Makes an event of one kind out of the bytes of one of another kind, with whose fields and values it begins.

    What the other has at its end alone must be optional, and null in the event: a byte each, which is cut off.
    """

    def __init__(self, base: type[Event], kind: type[Event], *adds: str) -> None:
        """`adds`: the fields that are new, in the schema's order, those of a record in it as "root.offset": whole numbers or times.

        Raises ValueError when the newest schemas are not so.
        """
        fields = registry.schemas_by_id()[registry.current_ids()[kind.__name__]]["fields"]
        self._nulls: dict[bytes, int] = {}
        for begin, schema in headers(base).items():
            shared, alone = _split(schema["fields"], {field["name"] for field in fields})
            fits = [_name_and_type(field) for field in fields[: len(shared)]] == [_name_and_type(f) for f in shared]
            if fits and all(_may_be_null(field) for field in alone) and tuple(_names(fields[len(shared) :])) == adds:
                self._nulls[begin] = len(alone)
        if header(base) not in self._nulls:
            raise ValueError(f"{kind.__name__} is not {base.__name__} with {', '.join(adds)} after its fields")
        self._header = header(kind)

    def __call__(self, data: bytes, *added: bytes) -> bytes | None:
        """The event in wire format: `data` as `decode` has taken it, `added` as `numbers` writes it, in one piece or several.

        None when a version of the base's schema wrote the data that is not so, or somebody who takes more than a byte for a null.
        """
        nulls = self._nulls.get(data[:HEADER_BYTES])
        if nulls is None:
            return None
        end = len(data) - nulls
        if nulls and (
            data[end - 1] > 0x7F or data[end:] != bytes(nulls)
        ):  # of a number, as numbers() says, this is not the last byte
            return None
        return b"".join((self._header, data[HEADER_BYTES:end], *added))


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


def _split(fields: list[registry.Schema], known: set[str]) -> tuple[list[registry.Schema], list[registry.Schema]]:
    """Up to the last field that is known, and those after it."""
    shared = max((n for n, field in enumerate(fields, 1) if field["name"] in known), default=0)
    return fields[:shared], fields[shared:]


def _may_be_null(field: registry.Schema) -> bool:
    return isinstance(field["type"], list) and field["type"][0] == "null"


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
