"""SQL scripts, cut into statements, and their placeholders filled in."""

import re
from datetime import timedelta

_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* | /\*.*?\*/ )
  | (?P<quoted> '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | `(?:[^`\\]|\\.)*` )
  | (?P<end> ; )
  | (?P<other> [^-/'"`;]+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)

_PLACEHOLDER = re.compile(r"\{(on_cluster|windows|engine):?([A-Za-z]*)(\([^)]*\))?\}")


def statements(script: str) -> list[str]:
    """The statements without the comments and the semicolons between them; one in a string, a name or a comment ends none."""
    found, current = [], ""
    for token in _TOKEN.finditer(script):
        if token["end"]:
            found.append(current.strip())
            current = ""
        else:
            current += " " if token["comment"] else token[0]
    return [statement for statement in (*found, current.strip()) if statement]


def render(statement: str, *, cluster: str, window: int) -> str:
    """What the migrations leave open: where tables live and how many inserts they remember.

    `{engine:Replacing(version)}` is that MergeTree engine, `{engine:}` MergeTree itself; on a cluster the replicated one,
    its path and replica's name the server's defaults. `{windows}` is the settings that make an insert token count.
    `{on_cluster}` is empty without a cluster.
    """

    def fill(match: re.Match[str]) -> str:
        placeholder, kind, arguments = match.groups()
        if placeholder == "engine":
            return f"{'Replicated' if cluster else ''}{kind}MergeTree{arguments or ''}"
        if placeholder == "windows":
            return _windows(cluster, window)
        return f"ON CLUSTER '{cluster}'" if cluster else ""

    return _PLACEHOLDER.sub(fill, statement)


def _windows(cluster: str, window: int) -> str:
    if not cluster:
        return f"non_replicated_deduplication_window = {window}"
    # By age too: replicated tables forget after an hour by default, however few inserts came.
    seconds = int(REMEMBERED.total_seconds())
    return f"replicated_deduplication_window = {window}, replicated_deduplication_window_seconds = {seconds}"


REMEMBERED = timedelta(days=7)
"""As long as photos.grouped keeps the records that an insert could be repeated from."""
