"""`safelight worker`: one process, one agent."""

from enum import StrEnum
from typing import Annotated

import typer

from streams.settings import Settings


class AgentName(StrEnum):
    """The agents, in the order of a photo's road."""

    ADMIT = "admit"
    ENRICH = "enrich"
    GROUP = "group"
    STORE = "store"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(worker)


def worker(agent: Annotated[AgentName, typer.Argument(help="Which agent this process runs.")]) -> None:
    """Run one agent until SIGTERM or Ctrl-C.

    It runs in its own consumer group: start more processes of the same agent to scale it, up to the number of partitions.

    Example: `safelight worker enrich`
    """
    from streams.worker import run  # noqa: PLC0415 (Faust takes a second to import: only this command needs it)

    raise typer.Exit(run(agent.value, Settings.read()))
