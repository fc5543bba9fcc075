"""A database ready for the workers: tables and dashboards."""

from contextlib import closing

from ops.dashboards import clickhouse as dashboards
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrate import migrate
from streams.settings import Settings


def prepare_database(settings: Settings) -> list[str]:
    """Apply pending migrations, fill the table of dashboards; the names of the migrations applied.

    Raises Unavailable when ClickHouse is not there and StrangeWorld when the database is not what this version knows.
    """
    user, password = settings.clickhouse_user, settings.clickhouse_password.get_secret_value()
    with closing(connect(url=settings.clickhouse_url, user=user, password=password)) as client:
        applied = migrate(
            client, database=settings.database, partitions=settings.partitions, cluster=settings.clickhouse_cluster
        )
        dashboards.fill(client, settings.database, settings.clickhouse_cluster)
    return [migration.name for migration in applied]
