"""`safelight status`: what is up, since when, and how far behind."""

import json
from datetime import UTC, datetime

from ops.cli.report import status_table, status_view, stdout
from ops.stack.process import StackError
from ops.stack.status import read_status
from schemas.errors import Unavailable
from streams.lag import lag
from streams.settings import Settings


def status(*, as_json: bool) -> None:
    """Print it; StackError when neither a stack nor a broker is there."""
    settings = Settings.read()
    servers = read_status(settings.data)
    try:
        lags = lag(settings)
    except Unavailable as error:
        if servers is None:
            raise StackError(f"no stack runs in {settings.data}, and {error}: start one with `safelight up`") from error
        lags = []  # the table says that the broker is down
    console = stdout()
    if as_json:
        console.print_json(json.dumps(status_view(servers, lags)))
        return
    if servers is None:
        console.print(f"no stack runs in {settings.data}; the broker at {settings.brokers} answers", highlight=False)
    console.print(status_table(servers or (), lags, datetime.now(UTC)))
