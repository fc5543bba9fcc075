"""What the page's panels show: the files of ops/dashboards, asked of ClickHouse read-only."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError

from ops.page.shared import Shared
from schemas.errors import Unavailable
from sinks.clickhouse.client import connect_async
from sinks.clickhouse.explain import explain
from streams.settings import Settings

SPANS: Mapping[int, int] = {300: 5, 3600: 60, 86400: 600}
"""The time spans that the page offers, in seconds, and the width of one point of a chart in each, in seconds."""

_AT_ONCE = 3
"""Queries under way at the same time: people who watch must not slow down the store that they watch."""

_ASK_SECONDS = 5
_PATIENCE_SECONDS = 7

_REST_SECONDS = 2.0
"""After ClickHouse has fallen silent, whoever asks is told so at once: a page has many panels, and a browser asks for six at a time."""

_ANSWER_SECONDS = 1.0

READ_ONLY = {
    "readonly": 1,
    "max_execution_time": _ASK_SECONDS,
    "max_result_rows": 20_000,
    "max_result_bytes": 8 << 20,
    "max_memory_usage": 1 << 30,
}

_AS_JSON = {
    "date_time_output_format": "iso",
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 0,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query came to; times inside the rows are ISO 8601 in UTC, `asked_at` is in seconds since 1970."""

    columns: tuple[str, ...]
    rows: list[list[Any]]
    asked_at: float


class Asks(Protocol):
    """Who answers queries."""

    async def ask(self, sql: str, parameters: Mapping[str, object]) -> Answer:
        """Raises Unavailable or StrangeWorld, saying what to do."""


class ReadOnly:
    """ClickHouse, as the page may use it: queries that change nothing and end soon."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: AsyncClient | None = None
        self._connecting = asyncio.Lock()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._silent_since = -_REST_SECONDS

    async def ask(self, sql: str, parameters: Mapping[str, object]) -> Answer:
        """Raises Unavailable or StrangeWorld, saying what to do, when ClickHouse does not answer in time or has no tables yet."""
        if time.monotonic() - self._silent_since < _REST_SECONDS:
            raise _no_answer()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), self._turns:
                client = await self._connected()
                asked_at = time.time()
                raw = await client.raw_query(
                    sql, parameters=dict(parameters), settings={**_AS_JSON, **READ_ONLY}, fmt="JSONCompact"
                )
        except ClickHouseError as error:
            raise explain(error, "the page") from error
        except (OSError, TimeoutError) as error:
            self._silent_since = time.monotonic()
            raise _no_answer() from error
        body = json.loads(raw)
        return Answer(tuple(column["name"] for column in body["meta"]), body["data"], asked_at)

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.close()

    async def _connected(self) -> AsyncClient:
        async with self._connecting:
            if self._client is None:
                self._client = await connect_async(
                    url=self._settings.clickhouse_url,
                    user=self._settings.clickhouse_user,
                    password=self._settings.clickhouse_password.get_secret_value(),
                    database=self._settings.database,
                )
            return self._client


def _no_answer() -> Unavailable:
    return Unavailable(
        "clickhouse", f"no answer within {_PATIENCE_SECONDS} s: start it, or correct SAFELIGHT_CLICKHOUSE_URL"
    )


class Panels:
    """The answers of all panels, each at most about a second old, however many pages are open."""

    def __init__(self, clickhouse: Asks, sql: Mapping[str, str]) -> None:
        """`sql`: each panel's query by its name."""
        self._clickhouse = clickhouse
        self._sql = sql
        self._answers: Shared[tuple[str, int], Answer] = Shared(self._ask, seconds=_ANSWER_SECONDS)

    async def answer(self, name: str, seconds: int) -> Answer:
        """Raises KeyError for what is no panel or no span of SPANS, and what ReadOnly raises."""
        if name not in self._sql:
            raise KeyError(name)
        if seconds not in SPANS:
            raise KeyError(seconds)
        return await self._answers.get((name, seconds))

    async def _ask(self, key: tuple[str, int]) -> Answer:
        name, seconds = key
        return await self._clickhouse.ask(self._sql[name], {"seconds": seconds, "rounding": SPANS[seconds]})
