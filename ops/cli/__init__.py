"""The commands, one file a group."""

import typer

from ops.cli import contract, publish, stack, worker

app = typer.Typer(
    name="safelight",
    help="The real-time backbone for photos: Kafka in, vision models on Triton, ClickHouse out, every photo exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for group in (stack, publish, worker, contract):
    group.add_to(app)
