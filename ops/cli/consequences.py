"""What becomes of records, rows and memories when an operator accepts a position: said before it is done."""

from collections.abc import Iterator

from schemas.topics import EVENTS
from streams.offsets import Found
from streams.position import Pending, Position

_AGAIN = {
    "admit": (
        "admit knows their ids and drops them as repeats, but bytes that were nobody's, and uploads into a wrong partition, "
        "are counted again"
    ),
    "enrich": "enrich fetches their photos again, and group drops the results",
    "resume": "resume returns their photos once more, and group drops what is not newer",
    "group": "group knows the photos and drops what is not newer, but rejects of uploads into a wrong partition are counted again",
    "store": (
        "in photo_enrichments and photo_embeddings their rows replace the ones that are there; in photo_outcomes, dead_letters, "
        "metrics and their rollups they count twice"
    ),
}

_AGAIN_WITHOUT_MEMORY = {
    "admit": "admit takes them for new, so that their models are paid for again; group drops the results as long as it remembers",
    "enrich": "enrich pays for their models again, and group drops the results",
    "group": "group takes the photos for new and stamps them first once more: they count twice",
}

_FORGOTTEN = {
    "admit": "every event id is forgotten: what is published again, within SAFELIGHT_REMEMBER too, is admitted again",
    "enrich": "what was seen is forgotten: a further photo of the same content is paid for again",
    "group": "every photo is forgotten: its next outcome counts as its first, however old it is",
}


_GENERATION = (
    "if the topic was made anew, raise SAFELIGHT_GENERATION on every worker before any starts: without, uploads count as older than "
    "those of the earlier topic"
)


def consequences(found: Found, to: Position, *, forget: bool) -> Iterator[str]:
    """Each in a clause. `to` is committed, and with `forget` the state is emptied."""
    was = found.standing.position
    anew = bool(was and was.changelog and found.changelog and was.changelog != found.changelog.topic_id)
    known = was if was and was.topic_id == found.source.topic_id else None
    again = (_AGAIN_WITHOUT_MEMORY if found.changelog and (forget or anew) else _AGAIN)[found.agent]
    yield from _of_records(found, known, to.offset, again)
    if was and not known:
        yield "what the earlier topic still had, and nobody had read, is lost"
    if not known and found.source.topic.endswith(EVENTS.name):
        yield _GENERATION
    if known and known.pending and not to.pending:
        yield _of_rows(known.offset, known.pending, to.offset)
    if forget or anew:
        yield _FORGOTTEN[found.agent]


def _of_records(found: Found, known: Position | None, target: int, again: str) -> Iterator[str]:
    begin = found.standing.log.begin
    if known is None:
        yield f"records from {target} on that {found.agent} has worked on before are worked on again: {again}"
        if target > 0:
            gone = f", and those below {begin} are gone from the log" if begin else ""
            yield f"records below {target} that it has not worked on are lost{gone}"
    elif target > (reached := known.pending.last + 1 if known.pending else known.offset):
        yield f"records {reached} to {target - 1} are passed over: photos among them are lost"
    elif target < known.offset:
        yield f"records {target} to {known.offset - 1} are worked on again: {again}"


def _of_rows(first: int, pending: Pending, target: int) -> str:
    rows = f"rows of records {first} to {pending.last}"
    if target <= pending.last:
        return f"{rows} are inserted again: those that ClickHouse has already are there twice then"
    return f"{rows} are not inserted any more: those that ClickHouse has not are lost"
