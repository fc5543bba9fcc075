"""How many inserts a table remembers, and for how long: what makes a repeated insert harmless."""

import re
from datetime import timedelta
from typing import NamedTuple

OURS = """
SELECT name, engine_full FROM system.tables
WHERE database = {database:String} AND engine LIKE '%MergeTree' AND name != 'migrations'
"""
"""The tables that remember, with their engines."""


class Window(NamedTuple):
    """Of one table: the number of inserts, and the age (None: for ever)."""

    inserts: int
    age: timedelta | None


def window_of(engine: str) -> Window:
    """Read from system.tables' engine_full."""
    replicated = engine.startswith("Replicated")
    said = dict(re.findall(r"(\w*deduplication_window\w*) = (\d+)", engine))
    name = "replicated_deduplication_window" if replicated else "non_replicated_deduplication_window"
    age = timedelta(seconds=int(said.get(f"{name}_seconds", 0))) if replicated else None
    return Window(int(said.get(name, 0)), age)
