"""Numbered migrations: each applied once, in order, and recorded with its checksum.

Every statement of a migration may be repeated (IF NOT EXISTS and the like), so one that stopped half-way is simply applied
again, and two who migrate at the same time do no harm.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.errors import StrangeWorld
from sinks.clickhouse.explain import explain
from sinks.clickhouse.statements import REMEMBERED, render, statements
from sinks.clickhouse.windows import OURS, window_of

FOLDER = Path(__file__).parent / "migrations"

_REMEMBERED_A_PARTITION = 100_000
"""Inserts that a table remembers for each partition of a topic: one a second for a day, and some."""

_OTHER_PARTITIONS = 2
"""Of photos.dead_letter, whose rows go into a table together with those of photos.grouped."""

_RECORDS = """
CREATE TABLE IF NOT EXISTS migrations {on_cluster}
(
    number UInt32 COMMENT 'Number of the migration',
    name String COMMENT 'Name of its file',
    checksum String COMMENT 'SHA-256 of its file when it was applied, in hexadecimal digits',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was applied'
)
ENGINE = {engine:Replacing(applied_at)}
ORDER BY number
COMMENT 'Which changes of the tables have been applied'
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of migrations/."""

    number: int
    name: str
    script: str = field(repr=False)

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, in hexadecimal digits."""
        return hashlib.sha256(self.script.encode()).hexdigest()


def load(folder: Path = FOLDER) -> list[Migration]:
    """Every migration, in order."""
    paths = sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return [Migration(int(path.name[:4]), path.name, path.read_text()) for path in paths]


def migrate(
    client: Client,
    *,
    database: str,
    partitions: int,
    cluster: str = "",
    migrations: Sequence[Migration] | None = None,
) -> list[Migration]:
    """Make the database if it is not there, apply what is pending, and return that.

    `client` is left with the database as its own. `partitions` is how many photos.grouped has: it decides how many inserts
    the tables remember; those that remember fewer are made to remember as many from now on. Raises StrangeWorld when an applied migration was edited or is newer than this code, and Unavailable.
    """
    window = _REMEMBERED_A_PARTITION * (partitions + _OTHER_PARTITIONS)

    def run(statement: str) -> None:
        client.command(render(statement, cluster=cluster, window=window), settings={"flatten_nested": 1})

    try:
        run(f"CREATE DATABASE IF NOT EXISTS `{database}` {{on_cluster}}")
        client.database = database
        run(_RECORDS)
        todo = pending(client, database=database, migrations=migrations)
        for migration in todo:
            for statement in statements(migration.script):
                run(statement)
            client.insert(
                "migrations",
                [[migration.number, migration.name, migration.checksum]],
                column_names=["number", "name", "checksum"],
                settings={"async_insert": 0},
            )
        for statement in _widening(client, database, window):
            run(statement)
    except ClickHouseError as error:
        raise explain(error, f"database {database}") from error
    return todo


def _widening(client: Client, database: str, window: int) -> list[str]:
    """Of a database that was made for fewer partitions, or changed by hand."""
    engines = cast("Sequence[tuple[str, str]]", client.query(OURS, {"database": database}).result_rows)
    found = {name: window_of(engine) for name, engine in engines}
    return [
        f"ALTER TABLE {name} {{on_cluster}} MODIFY SETTING {{windows}}"
        for name, at in found.items()
        if at.inserts < window or (at.age is not None and at.age < REMEMBERED)
    ]


def pending(client: Client, *, database: str, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """What has not been applied to the database, which may not exist yet. Raises StrangeWorld as migrate does, and Unavailable."""
    migrations = load() if migrations is None else migrations
    applied = _applied(client, database)
    known = {migration.number for migration in migrations}
    newer = [name for number, (name, _) in sorted(applied.items()) if number not in known]
    if newer:
        raise StrangeWorld(
            f"database {database} has {newer[-1]}, which this version does not know: use a newer safelight"
        )
    for migration in migrations:
        name, checksum = applied.get(migration.number, (migration.name, migration.checksum))
        if checksum != migration.checksum:
            raise StrangeWorld(
                f"{name} has been edited since it was applied to database {database}: restore it, and add a migration instead"
            )
    return [migration for migration in migrations if migration.number not in applied]


def _applied(client: Client, database: str) -> dict[int, tuple[str, str]]:
    """Name and checksum of each applied migration, by its number."""
    try:
        exists = client.command("EXISTS TABLE {database:Identifier}.migrations", {"database": database})
        if not exists:
            return {}
        rows = client.query(
            "SELECT number, name, checksum FROM {database:Identifier}.migrations FINAL", {"database": database}
        ).result_rows
    except ClickHouseError as error:
        raise explain(error, f"database {database}") from error
    return {number: (name, checksum) for number, name, checksum in cast("Sequence[tuple[int, str, str]]", rows)}
