"""The dashboards inside ClickHouse: for its own /dashboard page, by `SELECT title, query FROM <database>.dashboards`."""

import re
from collections.abc import Iterable

from clickhouse_connect.driver.client import Client

from ops.dashboards import Kind, Panel, panels

DASHBOARD = "safelight"

# Not the FROM of WITH FILL.
_TABLE = re.compile(r"(?<!FILL )\b(FROM|JOIN)\s+(?=[a-z_]+\b)")


def fill(client: Client, database: str, cluster: str = "", shown: Iterable[Panel] | None = None) -> None:
    """Make `dashboards` of the database hold the panels that are series (the others that page cannot show), and no others.

    A view of constants, replaced as a whole: whoever looks meanwhile sees the old or the new, never half.
    """
    rows = ", ".join(
        f"({_quoted(DASHBOARD)}, {_quoted(panel.title)}, {_quoted(qualified(panel.sql, database))})"
        for panel in (panels() if shown is None else shown)
        if panel.kind is Kind.SERIES
    )
    where = f"ON CLUSTER {_quoted(cluster)}" if cluster else ""
    client.command(
        f"CREATE OR REPLACE VIEW `{database}`.dashboards {where} ("  # noqa: S608 (our own files, quoted)
        "dashboard String COMMENT 'Name of the dashboard', "
        "title String COMMENT 'Title of the panel', "
        "query String COMMENT 'Query of the panel, with parameters seconds and rounding') "
        f"AS SELECT dashboard, title, query FROM values('dashboard String, title String, query String', {rows}) "
        "COMMENT 'Panels for the page /dashboard of ClickHouse, in the shape of system.dashboards'"
    )


def qualified(sql: str, database: str) -> str:
    """The query with the database before each table: that page's queries run in the user's own database."""
    return _TABLE.sub(lambda match: f"{match[0]}{database}.", sql)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
