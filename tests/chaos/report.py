"""What rounds came to, as JSON."""

from collections import Counter
from collections.abc import Sequence

from tests.chaos.crew import Other
from tests.chaos.round import Outcome


def report(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Of all rounds together. `kills` of workers and servers; `published` are records sent, `settled` those with the fate they must have."""
    accounts = [outcome.account for outcome in outcomes]
    excluded: dict[str, list[str]] = {}
    for each in accounts:
        excluded |= each.excluded_columns
    return {
        "seeds": [outcome.seed for outcome in outcomes],
        "kills": sum(outcome.kills for outcome in outcomes),
        "by_boundary": _added(outcome.by_boundary for outcome in outcomes),
        "published": sum(each.published for each in accounts),
        "settled": sum(each.settled for each in accounts),
        "lost": sum(each.lost for each in accounts),
        "duplicated": sum(each.duplicated for each in accounts),
        "mismatched_tables": sum(len(each.mismatched) for each in accounts),
        "mismatched": sorted({name for each in accounts for name in each.mismatched}),
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 1),
        "excluded_columns": excluded,
        "besides_kills": _added(_without_boundaries(outcome.others) for outcome in outcomes),
        "by_boundary_besides": _added(_at_boundaries(outcome.others) for outcome in outcomes),
        "boundaries_not_reached": _added(outcome.unreached for outcome in outcomes),
        "workers_that_ended_by_themselves": sum(len(outcome.ended) for outcome in outcomes),
        "workers_that_ended_late": [line for outcome in outcomes for line in outcome.late],
        "servers_that_did_not_start_at_once": [line for outcome in outcomes for line in outcome.failures],
        "examples": [line for each in accounts for line in each.examples],
    }


def _without_boundaries(others: Counter[Other]) -> Counter[str]:
    return sum((Counter({what: times}) for (what, _), times in others.items()), Counter())


def _at_boundaries(others: Counter[Other]) -> Counter[str]:
    return Counter({f"{boundary}: {what}": times for (what, boundary), times in others.items() if boundary})


def _added(counts) -> dict[str, int]:
    total: Counter[str] = sum(counts, Counter())
    return {name: total[name] for name in sorted(total)}
