"""Errors in ClickHouse's own words: a code, a name, and the HTTP status that its server gives to the code."""

from __future__ import annotations

import re

# The codes that we give ourselves, by ClickHouse's names (system.errors).
CODES = {
    "BAD_ARGUMENTS": 36,
    "NOT_IMPLEMENTED": 48,
    "SYNTAX_ERROR": 62,
    "UNKNOWN_COMPRESSION_METHOD": 89,
    "UNKNOWN_SETTING": 115,
    "INCORRECT_DATA": 117,
    "TOO_MANY_BYTES": 307,
    "INTO_OUTFILE_NOT_ALLOWED": 358,
    "ACCESS_DENIED": 497,
    "UNKNOWN_EXCEPTION": 1002,
}

# ClickHouse's src/Server/HTTP/exceptionCodeToHTTPStatus.cpp, its names looked up in the engine; every other code is 500.
_STATUS = {
    **dict.fromkeys((6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117), 400),
    **dict.fromkeys((123, 167, 168, 223, 321, 376, 427, 441, 675, 676), 400),
    194: 401,
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511), 404),
    159: 408,
    381: 411,
    229: 413,
    307: 413,  # ours: a body that is too long; there, a limit of a query
    779: 415,
    48: 501,
    **dict.fromkeys((76, 209, 439), 503),
}
_CODE = re.compile(r"Code: (\d+)\.")


class ClickHouseError(Exception):
    """What a ClickHouse server would answer: `code`, HTTP `status`, and a text that begins with "Code: "."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.status = _STATUS.get(code, 500)

    @classmethod
    def named(cls, name: str, what: str) -> ClickHouseError:
        """One of our own, by a name in CODES."""
        return cls(CODES[name], f"Code: {CODES[name]}. DB::Exception: {what}. ({name})")

    @classmethod
    def from_engine(cls, error: BaseException) -> ClickHouseError:
        """The engine's own; what wraps its text ("Streaming query failed: ") is dropped."""
        text = str(error)
        if found := _CODE.search(text):
            return cls(int(found[1]), text[found.start() :].strip())
        return cls.named("UNKNOWN_EXCEPTION", text.strip() or type(error).__name__)
