"""`safelight offsets`: where every agent stands, and accepting what a worker refuses."""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

import typer
from clickhouse_connect.driver.client import Client
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.cli.consequences import consequences
from ops.cli.report import stdout
from ops.database import database
from schemas.errors import StrangeWorld
from schemas.topics import Topic
from sinks.clickhouse.entries import TABLES, question
from streams import admin, offsets
from streams.offsets import Found
from streams.position import Position
from streams.settings import Settings
from streams.standing import refusal
from streams.topology import FLOWS


def show(agents: Sequence[str], *, as_json: bool) -> None:
    """Print it, of those agents."""
    settings = Settings.read()
    found = _look(settings, agents)
    console = stdout()
    if as_json:
        console.print_json(json.dumps([_view(settings, each) for each in found]))
        return
    console.print(_table(found, datetime.now(UTC)))
    for each in found:
        if each.standing.fault:
            console.print(Text(_line(settings, each), style="red"))


def accept(
    agent: str,
    to: str,
    *,
    topic: str | None,
    partition: int | None,
    forget: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Do it to the partitions that are named; without a partition's number, to those that a worker refuses."""
    settings = Settings.read()
    if forget and FLOWS[agent].changelog is None:
        raise typer.BadParameter(f"{agent} remembers nothing", param_hint="--forget")
    chosen = _chosen(settings, _look(settings, [agent]), topic, partition)
    plan = [(each, _target(each, to, forget=forget)) for each in chosen]
    members = admin.members(settings, agent)
    if members:
        raise StrangeWorld(f"{settings.group(agent)} has {members} workers: stop them first, then run this again")
    console = stdout()
    told = Console(stderr=True) if as_json else console
    if not plan:
        told.print(f"every position of {agent} is sound: nothing to accept", highlight=False)
    for each, target in plan:
        _tell(told, settings, each, target, forget=forget)
    if plan and not yes and not typer.confirm("Accept this?", err=as_json):
        raise StrangeWorld("nothing was changed")
    for each, target in plan:
        offsets.accept(settings, each, target, forget=forget)
    if as_json:
        done = [
            {
                "topic": each.source.topic,
                "partition": each.source.partition,
                "position": target.offset,
                "forgot": forget,
            }
            for each, target in plan
        ]
        console.print_json(json.dumps({"agent": agent, "accepted": done}))
    elif plan:
        console.print(f"accepted; start {agent} again: `safelight worker {agent}`", highlight=False)


def _look(settings: Settings, agents: Iterable[str]) -> list[Found]:
    with ExitStack() as opened:
        return offsets.look(settings, [FLOWS[agent] for agent in agents], _entries(settings, opened))


def _entries(settings: Settings, opened: ExitStack) -> Callable[[Topic, int], str]:
    """Asks ClickHouse, which is connected to when there is something to ask."""
    clients: list[Client] = []

    def entries(topic: Topic, partition: int) -> str:
        if topic.name not in TABLES:
            return ""
        if not clients:
            clients.append(opened.enter_context(database(settings)))
        rows = clients[0].query(*question(topic.name, partition, settings.partitions_of(topic))).result_rows
        return f"ClickHouse's {TABLES[topic.name]}" if rows else ""

    return entries


def _chosen(settings: Settings, found: list[Found], topic: str | None, partition: int | None) -> list[Found]:
    """By the contract's name of the topic or the broker's."""
    names = {settings.topic(source): source.name for flow in FLOWS.values() for source in flow.sources}
    of_topic = [each for each in found if topic in {None, each.source.topic, names[each.source.topic]}]
    if not of_topic:
        known = ", ".join(sorted({each.source.topic for each in found}))
        raise typer.BadParameter(f"{found[0].agent} does not read {topic}, but {known}", param_hint="--topic")
    if partition is None:
        return [each for each in of_topic if each.standing.fault]
    of_partition = [each for each in of_topic if each.source.partition == partition]
    if not of_partition:
        raise typer.BadParameter(f"there is no partition {partition}", param_hint="--partition")
    if len(of_partition) > 1:
        raise typer.BadParameter(f"name the topic of partition {partition} too", param_hint="--topic")
    return of_partition


def _target(found: Found, to: str, *, forget: bool) -> Position:
    standing, source = found.standing, found.source
    if standing.fault and not standing.fault.to and not forget:
        raise StrangeWorld(f"the position in {source} {standing.fault.what}, or add --forget to begin with no state")
    if to == "here" and standing.offset < 0:
        raise typer.BadParameter(f"nothing is committed in {source}: name another place", param_hint="--to")
    if to == "here" and standing.position and standing.position.topic_id == source.topic_id:
        position = Position(standing.offset, source.topic_id, standing.position.pending)
    else:
        places = {"beginning": standing.log.begin, "end": standing.log.end, "here": standing.offset}
        position = Position(places[to] if to in places else int(to), source.topic_id)
    if not standing.log.has(position.offset):
        raise typer.BadParameter(
            f"{position.offset} is outside the log of {source}, which has {standing.log.begin} to {standing.log.end}",
            param_hint="--to",
        )
    return position


def _tell(console: Console, settings: Settings, found: Found, target: Position, *, forget: bool) -> None:
    fault = found.standing.fault
    is_now = f"the position of {settings.group(found.agent)} in {found.source}"
    console.print(Text(f"{is_now} {fault.what if fault else 'is sound'}", style="bold"))
    console.print(f"  it becomes {target.offset}", highlight=False)
    for consequence in consequences(found, target, forget=forget):
        console.print(f"  {consequence}", highlight=False)


def _line(settings: Settings, found: Found) -> str:
    """What a worker would end with."""
    fault = found.standing.fault
    return str(refusal(settings.group(found.agent), found.source.topic, found.source.partition, fault)) if fault else ""


def _note(found: Found) -> str:
    """Whether the note is ours."""
    if found.standing.offset < 0:
        return "nothing committed"
    return "ours" if found.standing.position else "not ours"


def _table(found: Iterable[Found], now: datetime) -> Table:
    columns = ("agent", "topic", "partition", "position", "log", "behind", "pending", "tries", "note")
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for each in found:
        standing, position = each.standing, each.standing.position
        pending = position.pending if position else None
        table.add_row(
            each.agent,
            each.source.topic,
            str(each.source.partition),
            str(standing.offset) if standing.offset >= 0 else "",
            f"{standing.log.begin} to {standing.log.end}",
            str(each.records),
            f"to {pending.last}, for {(now - pending.since).total_seconds():.0f} s" if pending else "",
            str(position.tries or "") if position else "",
            _note(each),
            style="red" if standing.fault else "",
        )
    return table


def _view(settings: Settings, found: Found) -> dict[str, object]:
    standing, position = found.standing, found.standing.position
    pending = position.pending if position else None
    age = (datetime.now(UTC) - pending.since).total_seconds() if pending else 0
    return {
        "agent": found.agent,
        "topic": found.source.topic,
        "partition": found.source.partition,
        "position": standing.offset if standing.offset >= 0 else None,
        "log_begin": standing.log.begin,
        "log_end": standing.log.end,
        "behind_records": found.records,
        "pending": {"last": pending.last, "since": pending.since.isoformat(), "age_seconds": age} if pending else None,
        "tries": position.tries if position else 0,
        "state_format": position.format if position else 0,
        "note": _note(found),
        "refused": _line(settings, found) or None,
    }
