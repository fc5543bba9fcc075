"""`safelight topics` and `safelight migrate`: the contract, brought to a broker and to a database."""

import json
from datetime import timedelta

from rich.table import Table

from ops.cli.report import stdout
from ops.prepare import prepare_database
from schemas.topics import TOPICS
from streams import provision
from streams.settings import Settings


def topics(*, create: bool, as_json: bool) -> None:
    """Print the contract's topics, and which were created."""
    settings = Settings.read()
    created = provision.ensure(settings) if create else []
    declared = [settings.declared(topic) for topic in TOPICS]
    console = stdout()
    if as_json:
        rows = [
            {
                "topic": settings.topic(t),
                "partitions": t.partitions,
                "replicas": t.replicas,
                "key": t.key,
                "config": t.config,
            }
            for t in declared
        ]
        console.print_json(json.dumps({"created": created, "topics": rows}))
        return
    table = Table("topic", "partitions", "replicas", "key", "carries", "kept", box=None, pad_edge=False)
    for topic in declared:
        age = f"{topic.retention / timedelta(days=1):g} days" if topic.retention else ""
        kept = ", ".join(["by key"] * topic.is_changelog + [age] * bool(age))
        carries = ", ".join(topic.records) or "state"
        # Of the replicas, so many have to have what is acknowledged.
        replicas = f"{topic.replicas}, {topic.config['min.insync.replicas']} in sync"
        table.add_row(settings.topic(topic), str(topic.partitions), replicas, topic.key, carries, kept)
    console.print(table)
    for name in created:
        console.print(f"created {name}", highlight=False)


def migrate(*, as_json: bool) -> None:
    """Print which migrations were applied."""
    applied = prepare_database(Settings.read())
    console = stdout()
    if as_json:
        console.print_json(json.dumps({"applied": applied}))
    else:
        console.print("\n".join(f"applied {name}" for name in applied) or "nothing to do", highlight=False)
