"""ClickHouse's errors, in words that say what to do (schemas/errors.py).

Only a code that blames the rows becomes Refused; what is missing or forbidden must not drain a topic; and anything that is
not known to be either is waited out, since waiting loses nothing. ClickHouse's own text stays in its log: it can quote rows.
"""

from clickhouse_connect.driver.exceptions import ClickHouseError, Error, OperationalError

from schemas.errors import Refused, StrangeWorld, Unavailable

_ROWS = {
    6: "CANNOT_PARSE_TEXT",
    26: "CANNOT_PARSE_QUOTED_STRING",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    32: "ATTEMPT_TO_READ_AFTER_EOF",
    33: "CANNOT_READ_ALL_DATA",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    128: "TOO_LARGE_ARRAY_SIZE",
    131: "TOO_LARGE_STRING_SIZE",
    190: "SIZES_OF_ARRAYS_DONT_MATCH",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    407: "DECIMAL_OVERFLOW",
    469: "VIOLATED_CONSTRAINT",
    691: "UNKNOWN_ELEMENT_OF_ENUM",
}

_MISSING = {
    8: "THERE_IS_NO_COLUMN",
    10: "NOT_FOUND_COLUMN_IN_BLOCK",
    16: "NO_SUCH_COLUMN_IN_TABLE",
    47: "UNKNOWN_IDENTIFIER",
    60: "UNKNOWN_TABLE",
    81: "UNKNOWN_DATABASE",
}

_FORBIDDEN = {
    164: "READONLY",
    192: "UNKNOWN_USER",
    193: "WRONG_PASSWORD",
    194: "REQUIRED_PASSWORD",
    291: "DATABASE_ACCESS_DENIED",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
}

_BUSY = {
    159: "TIMEOUT_EXCEEDED",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    225: "NO_ZOOKEEPER",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    319: "UNKNOWN_STATUS_OF_INSERT",
    394: "QUERY_WAS_CANCELLED",
    425: "SYSTEM_ERROR",
    999: "KEEPER_EXCEPTION",
}


def explain(error: ClickHouseError, table: str) -> Exception:
    """What to raise instead: Refused, StrangeWorld or Unavailable; the error itself where the driver blames its caller."""
    code = error.code if isinstance(error, Error) else None
    if code is None:
        # Without a code ClickHouse has not answered: the network's, or a proxy's error. The rest is misuse: a bug.
        no_answer = isinstance(error, OperationalError) or "HTTP status" in str(error)
        return (
            Unavailable("clickhouse", "no answer: start it, or correct SAFELIGHT_CLICKHOUSE_URL")
            if no_answer
            else error
        )
    if code in _ROWS:
        return Refused(table, _named(code, _ROWS))
    if code in _MISSING:
        return StrangeWorld(
            f"ClickHouse has not what belongs to {table} ({_named(code, _MISSING)}): run `safelight migrate`"
        )
    if code in _FORBIDDEN:
        return StrangeWorld(
            f"ClickHouse lets us not do this to {table} ({_named(code, _FORBIDDEN)}): "
            "correct SAFELIGHT_CLICKHOUSE_USER and SAFELIGHT_CLICKHOUSE_PASSWORD, or the rights of the user"
        )
    return Unavailable(
        "clickhouse", _named(code, {**_BUSY, code: _BUSY.get(code) or getattr(error, "name", None) or ""})
    )


def _named(code: int, names: dict[int, str]) -> str:
    return f"{names[code]}, code {code}" if names[code] else f"code {code}"
