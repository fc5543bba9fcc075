"""What rounds came to, as JSON."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from tests.chaos.crew import Other
from tests.chaos.round import Outcome

_PATH = re.compile(r"(?<![\w.])/(?:[\w.+-]+/)+[\w.+-]*")


def report(outcomes: Sequence[Outcome], failed: Sequence[str] = ()) -> dict[str, object]:
    """Of all rounds together. `kills` of workers and servers; `published` are records sent, `settled` those with the fate they must have.

    `failed`: what is not as it must be, a line each. Where accounts do not show it, what they count as lost, duplicated and
    mismatched is null: it must not read as exact.
    """
    accounts = [outcome.account for outcome in outcomes]
    excluded: dict[str, list[str]] = {}
    for each in accounts:
        excluded |= each.excluded_columns

    def counted(count: int) -> int | None:
        return None if failed and all(each.exact for each in accounts) else count

    return {
        "failed": _without_paths(failed),
        "seeds": [outcome.seed for outcome in outcomes],
        "kills": sum(outcome.kills for outcome in outcomes),
        "by_boundary": _added(outcome.by_boundary for outcome in outcomes),
        "published": sum(each.published for each in accounts),
        "settled": sum(each.settled for each in accounts),
        "lost": counted(sum(each.lost for each in accounts)),
        "duplicated": counted(sum(each.duplicated for each in accounts)),
        "mismatched_tables": counted(sum(len(each.mismatched) for each in accounts)),
        "mismatched": sorted({name for each in accounts for name in each.mismatched}),
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 1),
        "excluded_columns": excluded,
        "besides_kills": _added(_without_boundaries(outcome.others) for outcome in outcomes),
        "by_boundary_besides": _added(_at_boundaries(outcome.others) for outcome in outcomes),
        "boundaries_not_reached": _added(outcome.unreached for outcome in outcomes),
        "workers_that_ended_by_themselves": sum(len(outcome.ended) for outcome in outcomes),
        "bad_events": _added(outcome.faults for outcome in outcomes),
        "workers_that_ended_late": [line for outcome in outcomes for line in outcome.late],
        "servers_that_did_not_start_at_once": _without_paths(line for outcome in outcomes for line in outcome.failures),
        "examples": _without_paths(line for each in accounts for line in each.examples),
    }


def _without_paths(lines: Iterable[str]) -> list[str]:
    """A report is read elsewhere: where things lay on this machine is nothing to it."""
    return [_PATH.sub("…", line) for line in lines]


def _without_boundaries(others: Counter[Other]) -> Counter[str]:
    return sum((Counter({what: times}) for (what, _), times in others.items()), Counter())


def _at_boundaries(others: Counter[Other]) -> Counter[str]:
    return Counter({f"{boundary}: {what}": times for (what, boundary), times in others.items() if boundary})


def _added(counts) -> dict[str, int]:
    total: Counter[str] = sum(counts, Counter())
    return {name: total[name] for name in sorted(total)}
