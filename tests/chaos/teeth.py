"""Seeded bugs, one at a time: each must be caught as a broken invariant, and the same kills without it must pass."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.bugs import BUGS, WITHOUT
from tests.chaos.plan import Deed, aimed
from tests.chaos.records import Unsettled
from tests.chaos.report import report
from tests.chaos.round import Outcome, play
from tests.chaos.storm import Say

MOST_KILLS = 50
_SLICES = (12, MOST_KILLS)
"""Kills that a bug gets first, and then: most need few."""

Bitten = dict[str, dict[str, object]]


def bite(seed: int, say: Say, names: Sequence[str] = (), keep: Callable[[Bitten], None] | None = None) -> Bitten:
    """Of each bug (those named, or all): whether it was caught, within how many kills, and how the same seed went without it.

    `keep` is called after each with all so far.
    """
    bitten: Bitten = {}
    for name in names or BUGS:
        bitten[name] = _bite(name, seed, say)
        if keep:
            keep(bitten)
    return bitten


def _bite(name: str, seed: int, say: Say) -> dict[str, object]:
    bug = BUGS[name]
    for kills in _SLICES:
        say(f"{bug.what}: {kills} kills")
        deeds = aimed(kills, seed, at=bug.at, agents=bug.agents, action=bug.action)
        with_it = _play(name, deeds, seed, say)
        if with_it and not with_it.account.exact:
            break
    caught = with_it is not None and not with_it.account.exact
    say(f"{bug.what}: {'caught: ' + _broken(with_it) if caught else 'NOT caught'}")
    without = _play(WITHOUT + name, deeds, seed, say)
    exact = without is not None and without.account.exact
    say(f"without it: {'exact' if exact else 'NOT exact: ' + _broken(without)}")
    return {
        "what": bug.what,
        "caught": caught,
        "kills": len(deeds),
        "broken": _broken(with_it),
        "exact_without_it": exact,
        "with_it": report([with_it] if with_it else []),
        "without_it": report([without] if without else []),
    }


def _play(bug: str, deeds: Sequence[Deed], seed: int, say: Say) -> Outcome | None:
    """None when it does not come to rest: that is no broken invariant."""
    with tempfile.TemporaryDirectory(prefix="safelight-teeth-") as folder:
        try:
            return play(Path(folder), deeds, seed=seed, say=_quiet, bug=bug)
        except Unsettled as why:
            say(str(why))
            return None


def _broken(outcome: Outcome | None) -> str:
    if outcome is None:
        return "it did not come to rest"
    account = outcome.account
    counts = [f"{count} {what}" for what in ("lost", "duplicated") if (count := getattr(account, what))]
    return ", ".join(counts + [f"{name} differs" for name in account.mismatched])


def _quiet(_: str) -> None:
    """Nothing: the bugs are the progress."""
