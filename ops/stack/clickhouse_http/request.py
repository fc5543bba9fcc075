"""What a request asks, out of its URL, headers and body."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ops.stack.clickhouse_http.errors import ClickHouseError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARAMETER = "param_"
# Names in a URL that are about the transport; every other is a setting (ClickHouse's src/Server/HTTPHandler.cpp).
_TRANSPORT = frozenset(
    (
        "add_http_cors_header",
        "buffer_size",
        "client_protocol_version",
        "close_session",
        "compress",
        "database",
        "decompress",
        "default_format",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "password",
        "query",
        "query_id",
        "quota_key",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "stacktrace",
        "user",
        "wait_end_of_query",
    )
)


@dataclass(frozen=True, slots=True)
class Request:
    """One statement with all that it needs; `parameters` have no prefix, `settings` are as the client wrote them."""

    query: bytes
    body: bytes = b""
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    database: str = ""
    format: str = "TabSeparated"
    """For a result whose statement names none."""
    whole: bool = False
    """Whether to answer only when the query has ended, so that an error is never late."""


def read(url: Mapping[str, str], headers: Mapping[str, str], body: bytes, *, writes: bool) -> Request:
    """ClickHouseError for what this server does not do. What came by GET may not write, as in ClickHouse."""
    if url.get("compress") == "1" or url.get("decompress") == "1":
        raise ClickHouseError.named(
            "NOT_IMPLEMENTED", "compress and decompress are not served here: use Content-Encoding"
        )
    settings = {
        name: value for name, value in url.items() if name not in _TRANSPORT and not name.startswith(_PARAMETER)
    }
    if not writes and settings.get("readonly", "0") == "0":
        settings["readonly"] = "2"  # no writes, but settings may be given
    return Request(
        query=url.get("query", "").encode(),
        body=body,
        parameters={name[len(_PARAMETER) :]: value for name, value in url.items() if name.startswith(_PARAMETER)},
        settings=settings,
        database=url.get("database") or headers.get("X-ClickHouse-Database", ""),
        format=url.get("default_format") or headers.get("X-ClickHouse-Format") or "TabSeparated",
        whole=url.get("wait_end_of_query") == "1",
    )
