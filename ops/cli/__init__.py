"""The command line on one page. What a command does is imported when it is called: none waits for what only another needs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import Reason

PAGE_PORT = 8088
CLICKHOUSE_PORT = 8123

app = typer.Typer(
    name="safelight",
    help="The real-time backbone for photos: Kafka in, vision models on Triton, ClickHouse out, every photo exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

benches = typer.Typer(no_args_is_help=True, help="Measure a part against a yardstick (in a checkout).")
app.add_typer(benches, name="bench")

PagePort = Annotated[int, typer.Option(help="Port of the page; another free one if it is taken.")]
ClickHousePort = Annotated[int, typer.Option(help="Port of ClickHouse; another free one if it is taken.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget what earlier runs left.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


class AgentName(StrEnum):
    """The agents, in the order of a photo's road."""

    ADMIT = "admit"
    ENRICH = "enrich"
    RESUME = "resume"
    GROUP = "group"
    STORE = "store"


@app.command()
def demo(
    photos: Annotated[Path | None, typer.Option(help="A folder of your own instead of the sample photos.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End when every photo has its outcome.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the run's figures to this file.")] = None,
    page_port: PagePort = PAGE_PORT,
    clickhouse_port: ClickHousePort = CLICKHOUSE_PORT,
    fresh: Fresh = False,
    within: Annotated[float, typer.Option(help="Give up when photos have no outcome after so many seconds.")] = 900,
) -> None:
    """Start everything, publish photos, and show what became of each; stay up until Ctrl-C.

    The figures of --json are of this run: published events, those that admit took, those enriched and those in the dead
    letters, rows in ClickHouse; elapsed_seconds from the first upload until the last outcome can be queried; e2e from each
    photo's uploaded_at until a query shows its outcome.

    Example: `safelight demo --photos ~/Pictures --once --json figures.json`
    """
    from ops.cli.stack import demo

    demo(photos, json_file, page_port, clickhouse_port, once=once, fresh=fresh, within=within)


@app.command()
def up(
    page_port: PagePort = PAGE_PORT, clickhouse_port: ClickHousePort = CLICKHOUSE_PORT, fresh: Fresh = False
) -> None:
    """Start everything on this machine and stay up until Ctrl-C.

    Example: `safelight up`, then in another terminal `safelight publish ~/Pictures`
    """
    from ops.cli.stack import up

    up(page_port, clickhouse_port, fresh=fresh)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show what is up, since when, and how far behind each agent is.

    Example: `safelight status`
    """
    from ops.cli.status import status

    status(as_json=as_json)


@app.command()
def publish(
    paths: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos (searched recursively).")],
    owner: Annotated[str, typer.Option(help="Whose library the photos go to.")] = "me",
    source: Annotated[str, typer.Option(help="What dashboards call the uploader.")] = "publish",
    rate: Annotated[float, typer.Option(min=0, help="Most photos a second; 0: as fast as possible.")] = 0,
    to: Annotated[str, typer.Option(help="Object root to upload to; else the first of SAFELIGHT_OBJECT_ROOTS.")] = "",
    as_json: AsJson = False,
) -> None:
    """Upload photos to the object store and publish an event for each.

    Files that are no photos are passed over and counted. Publishing a folder twice adds nothing.

    Example: `safelight publish ~/Pictures --owner ada --rate 20`
    """
    from ops.cli.publish import publish

    publish(paths, owner=owner, source=source, rate=rate, to=to, as_json=as_json)


@app.command()
def worker(agent: Annotated[AgentName, typer.Argument(help="Which agent this process runs.")]) -> None:
    """Run one agent until SIGTERM or Ctrl-C.

    It runs in its own consumer group: start more processes of the same agent to scale it, up to the number of partitions.

    Example: `safelight worker enrich`
    """
    from streams.settings import Settings
    from streams.worker import run

    raise typer.Exit(run(agent.value, Settings.read()))


@app.command()
def topics(
    create: Annotated[bool, typer.Option("--create", help="Create what is missing.")] = False, as_json: AsJson = False
) -> None:
    """Show the topics of the contract; with --create, make those that the broker lacks.

    Topics that exist are checked: another number of partitions than the contract's is an error, since it moves keys.

    Example: `safelight topics --create`
    """
    from ops.cli.contract import topics

    topics(create=create, as_json=as_json)


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Bring the database to this version's tables. Safe to repeat, and safe while workers run.

    Example: `safelight migrate`
    """
    from ops.cli.contract import migrate

    migrate(as_json=as_json)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def chaos(context: typer.Context) -> None:
    """Kill everything at every boundary under load, then account for every event; `--help` for more.

    Example: `safelight chaos --kills 50 --seed 1 --json chaos.json`
    """
    from ops.cli.checkout import run

    raise typer.Exit(run("chaos", "chaos.__main__", context.args))


offsets = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")
app.add_typer(offsets, name="offsets")


@offsets.callback()
def show_offsets(
    context: typer.Context,
    agent: Annotated[AgentName | None, typer.Option(help="Of this agent alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show where every agent stands: position, log, what is behind, pending or failing, and whether the position is ours.

    What a worker refuses to go on from is red, with the line that the worker ends with.

    Example: `safelight offsets --agent store`
    """
    if context.invoked_subcommand is None:
        from ops.cli.offsets import show

        show([agent] if agent else list(AgentName), as_json=as_json)


@offsets.command()
def accept(
    agent: Annotated[AgentName, typer.Argument(help="Whose positions; its workers must be stopped.")],
    to: Annotated[
        str, typer.Option(help="Where to go on: beginning or end of the log, here (where it is), or an offset.")
    ],
    topic: Annotated[str | None, typer.Option(help="Of this topic alone.")] = None,
    partition: Annotated[
        int | None, typer.Option(min=0, help="This one; without, those that a worker refuses.")
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Empty the agent's state there, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let an agent go on from a position that its workers refuse, or from any other.

    Says first what is lost by it and what may be doubled, and asks. Whoever may still have the partition is fenced.

    Example: `safelight offsets accept admit --topic photos.events --partition 3 --to beginning`
    """
    if to not in {"beginning", "end", "here"} and not to.isdecimal():
        raise typer.BadParameter("say beginning, end, here, or an offset", param_hint="--to")
    from ops.cli.offsets import accept

    accept(agent.value, to, topic=topic, partition=partition, forget=forget, yes=yes, as_json=as_json)


deadletters = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="What was rejected, why, and trying it again."
)
app.add_typer(deadletters, name="deadletters")

Reasons = Annotated[list[Reason] | None, typer.Option("--reason", help="Of this reason; may be repeated.")]
Since = Annotated[str, typer.Option(help="Rejected since then: 2h, 7d, 2026-03-01 or 2026-03-01T12:00 (UTC).")]
Until = Annotated[str, typer.Option(help="Rejected before then.")]
Owner = Annotated[str | None, typer.Option(help="Of this owner.")]
PhotoId = Annotated[str | None, typer.Option("--photo", help="Of this photo.")]


@deadletters.command(name="list")
def list_letters(
    reason: Reasons = None,
    since: Since = "",
    until: Until = "",
    owner: Owner = None,
    photo: PhotoId = None,
    rows: Annotated[bool, typer.Option("--rows", help="A line a letter, the newest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most lines of --rows.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Count dead letters by reason, with what to do about each; with --rows, show them one by one.

    `open` are photos whose last word a letter is, and for which a redrive is left.

    Example: `safelight deadletters list --since 2h`, or `safelight deadletters list --rows --reason object_missing --owner ada`
    """
    from ops.cli.deadletters import Filters, show_list

    show_list(Filters(reason or [], since, until, owner, photo), limit if rows else 0, as_json=as_json)


@deadletters.command(name="show")
def show_letter(
    which: Annotated[
        str, typer.Argument(metavar="ROOT|PHOTO", help="A root as `list --rows` shows it, or a photo_id.")
    ],
    owner: Owner = None,
    as_json: AsJson = False,
) -> None:
    """Show everything about the dead letters of one upload or photo: what was found, what to do, whether a redrive can help.

    Example: `safelight deadletters show 1-3-42`, or `safelight deadletters show IMG_2041 --owner ada`
    """
    from ops.cli.deadletters import show

    show(which, owner, as_json=as_json)


@deadletters.command()
def redrive(
    which: Annotated[str | None, typer.Argument(metavar="[ROOT|PHOTO]", help="Of this upload or photo alone.")] = None,
    reason: Reasons = None,
    since: Since = "",
    until: Until = "",
    owner: Owner = None,
    photo: PhotoId = None,
    limit: Annotated[int, typer.Option(min=0, help="Send at most so many; 0: all.")] = 0,
    rate: Annotated[float, typer.Option(min=0, help="Most events a second; 0: as fast as possible.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish rejected uploads once more, after the cause is mended. What is not redriven is counted, with why.

    Each takes its event from photos.events, as it was uploaded; at most three times. Safe to repeat and to break off: what is
    sent twice counts once. Every run leaves a row in ClickHouse's table audit.

    Example: `safelight deadletters redrive --reason object_missing --since 2h --dry-run`
    """
    from ops.cli.deadletters import Filters, redrive

    filters = Filters(reason or [], since, until, owner, photo, which)
    redrive(filters, limit=limit, rate=rate, dry_run=dry_run, yes=yes, as_json=as_json)


@benches.command(name="saturation")
def bench_saturation(
    pairs: Annotated[int, typer.Option(min=1, help="How often each of the two runs.")] = 5,
    photos: Annotated[int, typer.Option(min=50, help="How many photos each run looks at.")] = 400,
    models: Annotated[
        list[str] | None,
        typer.Option(help="Comma separated; may be given several times. Default: all, then scene_label."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """How near the whole pipeline comes to a bare script that reads, decodes and asks Triton, and does nothing else.

    On the same photos of 2 to 12 megapixels and the same models, in turn. `ratio` is whole ÷ bare in photos a second, the median
    of the pairs. Beside it: Triton alone, CPU a photo by stage, and how many calls a third of copies costs.

    Example: `safelight bench saturation --pairs 5 --json saturation.json`
    """
    from ops.cli.checkout import run

    more = [word for names in models or [] for word in ("--models", names)]
    more += ["--json", str(json_file)] if json_file else []
    words = ["--pairs", str(pairs), "--photos", str(photos), *more]
    raise typer.Exit(run("bench saturation", "bench.saturation", words))


@benches.command(name="admit")
def bench_admit(
    pairs: Annotated[int, typer.Option(min=1, help="How often each of the two runs.")] = 5,
    events: Annotated[int, typer.Option(min=1000, help="How many events each run reads.")] = 200_000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """How near admit comes to a loop that does nothing of what makes it safe.

    On a broker of its own, in turn: `safelight worker admit`, and a plain loop of confluent-kafka and fastavro that drops no
    repeats, checks nothing and keeps nothing. `ratio` is ours ÷ bare in events a second, the median of the pairs.

    Example: `safelight bench admit --pairs 5 --json admit.json`
    """
    from ops.cli.checkout import run

    more = ["--json", str(json_file)] if json_file else []
    raise typer.Exit(run("bench admit", "bench.admit", ["--pairs", str(pairs), "--events", str(events), *more]))
