"""One SQL statement taken apart, as far as the server must: where an INSERT's data begins, and what must not run here.

The engine in this process trusts its caller as clickhouse-local does; a server must not. What grants can forbid they do
(engine.xml); the rest is found in the words of the statement: files read or written by name, and a second statement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.stack.clickhouse_http.errors import ClickHouseError

if TYPE_CHECKING:
    from collections.abc import Iterator

# ClickHouse's lexer (src/Parsers/Lexer.cpp), as far as names, brackets and the ends of strings and comments go.
_TOKEN = re.compile(
    rb"""(?P<blank>\s+|--[^\n]*|\#[ !][^\n]*|/\*.*?\*/)
    |(?P<string>'(?:[^'\\]|\\.|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<quoted>"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<number>\d\w*)
    |(?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)
_DATA = re.compile(rb"[ \t]*(?:\r?\n)?")
_ANSWERS = frozenset({"SELECT", "WITH", "FROM", "(", "SHOW", "DESC", "DESCRIBE", "EXPLAIN", "EXISTS", "CHECK"})
_STREAMS = frozenset({"SELECT", "WITH", "FROM", "("})
_BEFORE_A_NAME = frozenset({".", "INTO", "TABLE"})
_NO_NAMES = frozenset({"TABLE", "FUNCTION", "OUTFILE"})
_CALLS_FILE = re.compile(rb"(?:\bfile\b|[\"`])\s*(?:/\*|--|\()", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """`sql` goes to the engine. An INSERT has its `data`, their `format` and its SETTINGS apart."""

    sql: bytes
    settings: bytes = b""
    data: memoryview | None = None
    format: str | None = None
    answers: bool = False
    """Whether it has a result set (else the answer's body is empty)."""
    streams: bool = False
    """Whether the engine can give the result block by block without changing it."""


@dataclass(frozen=True, slots=True)
class _Word:
    """A token that is neither blank nor comment: `name` in capitals, with double quotes where it can be no keyword."""

    name: str
    text: str
    depth: int
    start: int
    end: int


def parse(query: bytes, body: bytes = b"") -> Statement:
    """Of a query and what follows it in the body of the request.

    ClickHouseError for what a server refuses: two statements, INTO OUTFILE, FROM INFILE, the function `file`.
    """
    if not query or not body:
        return _parse(query or body)
    names = {word.name for word in _words(query) if not word.depth}
    if "INSERT" in names and not names & {"FORMAT", "VALUES", "SELECT", "WITH"}:
        return _parse(query + b" VALUES " + body)  # as the server reads data of no named format
    return _parse(query + b"\n" + body)


def _parse(text: bytes) -> Statement:
    outer: list[_Word] = []
    before = ""
    for word in _words(text):
        _refuse_files(before, word.name)
        before = word.name
        if word.depth:
            continue
        outer.append(word)
        if outer[0].name == "INSERT" and (insert := _insert(text, outer)):
            return insert
    names = [word.name for word in outer]
    if ";" in names and set(names[names.index(";") :]) != {";"}:
        raise ClickHouseError.named("SYNTAX_ERROR", "Multi-statements are not allowed: send one statement a request")
    first = names[0] if names else ""
    return Statement(
        text,
        format=_format(outer),
        answers=first in _ANSWERS,
        streams=first in _STREAMS and "TOTALS" not in names,
    )


def _insert(text: bytes, outer: list[_Word]) -> Statement | None:
    """The INSERT, once its last word says where its data begins."""
    last, before = outer[-1], outer[-2:][0]
    if last.name == "VALUES":
        _refuse_file_calls(text, last.end)
        end, begin, format_ = before.start if before.name == "FORMAT" else last.start, last.end, "Values"
    elif len(outer) > 3 and before.name == "FORMAT":  # INSERT, INTO and a name come before
        blank = _DATA.match(text, last.end)
        assert blank  # noqa: S101 (for mypy: it matches nothing as well)
        end, begin, format_ = before.start, blank.end(), last.text
    else:
        return None
    if any(word.name in ("SELECT", "WITH") for word in outer):
        if text[begin:].strip(b"; \n"):  # the engine would say yes and write nothing
            raise ClickHouseError.named("NOT_IMPLEMENTED", "INSERT SELECT takes no data here: no input(), no FORMAT")
        return None
    settings = next((word.start for word in outer if word.name == "SETTINGS"), end)
    return Statement(text[:settings], text[settings:end], memoryview(text)[begin:], format_)


def _format(outer: list[_Word]) -> str | None:
    """Of a FORMAT clause: at the end, but for SETTINGS."""
    for format_, name, after in zip(outer, outer[1:], [*outer[2:], None], strict=False):
        if format_.name == "FORMAT" and (after is None or after.name in (";", "SETTINGS")):
            return name.text
    return None


def _words(text: bytes) -> Iterator[_Word]:
    depth = 0
    before = ""
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "blank":
            continue
        raw = token[0].decode(errors="replace")
        name = {"string": "''", "quoted": f'"{raw[1:-1]}"'}.get(token.lastgroup or "", raw).upper()
        if before in _BEFORE_A_NAME and token.lastgroup == "word" and name not in _NO_NAMES:
            name = f'"{name}"'  # a table or column called values, format or settings
        depth -= name in (")", "]", "}")
        yield _Word(name, raw, depth, token.start(), token.end())
        depth += name in ("(", "[", "{")
        before = name


def _refuse_files(before: str, name: str) -> None:
    if (before, name) in (("INTO", "OUTFILE"), ("FROM", "INFILE")):
        raise ClickHouseError.named("INTO_OUTFILE_NOT_ALLOWED", f"{before} {name} names a file of the server's machine")
    # A quoted name may hide its letters behind escapes.
    if name == "(" and (before.strip('"') == "FILE" or (before.startswith('"') and "\\" in before)):
        raise ClickHouseError.named("ACCESS_DENIED", "The function `file` would read files of the server's machine")


def _refuse_file_calls(text: bytes, at: int) -> None:
    """Values are expressions too. They come by the million, so they are only read where a call could be among them."""
    if _CALLS_FILE.search(text, at):
        before = ""
        for word in _words(text[at:]):
            _refuse_files(before, word.name)
            before = word.name
