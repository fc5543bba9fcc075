"""The dashboards: one .sql file a panel, for the built-in page and for ClickHouse's own /dashboard alike.

A file begins with comment lines `-- title:`, `-- kind:`, `-- unit:` and `-- order:`. A query takes {seconds:UInt32}, the time
span until now, and {rounding:UInt32}, the seconds between two points, and names the tables without their database.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

FOLDER = Path(__file__).parent

_HEADER = re.compile(r"^-- (title|kind|unit|order): (.+)\n", re.MULTILINE)


class Kind(StrEnum):
    """The shape of what a panel's query returns."""

    SERIES = "series"  # t in seconds since 1970 and a number a series; or t, series and value; ordered by t
    TABLE = "table"  # rows to be shown as they are
    NUMBERS = "numbers"  # one row, each column a number of its own
    WALL = "wall"  # a photo a row


@dataclass(frozen=True, slots=True)
class Panel:
    """One file."""

    name: str
    title: str
    kind: Kind
    unit: str
    sql: str
    order: int


def panels(folder: Path = FOLDER) -> list[Panel]:
    """Every panel, in the order in which they are shown. Raises ValueError, naming the file, when a header is not whole."""
    return sorted((_read(path) for path in folder.glob("*.sql")), key=lambda panel: (panel.order, panel.name))


def _read(path: Path) -> Panel:
    text = path.read_text()
    header = dict(_HEADER.findall(text))
    try:
        kind, order = Kind(header["kind"]), int(header["order"])
        return Panel(path.stem, header["title"], kind, header["unit"], _HEADER.sub("", text).strip(), order)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path.name} needs the lines -- title:, -- kind:, -- unit: and -- order: ({error})"
        ) from error
