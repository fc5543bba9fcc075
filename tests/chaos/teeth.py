"""Seeded bugs, one at a time: each must be caught as a broken invariant, and the same kills without it must pass."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.bugs import BUGS, WITHOUT
from tests.chaos.plan import Deed, aimed
from tests.chaos.report import report
from tests.chaos.round import Outcome, play
from tests.chaos.storm import Say

MOST_KILLS = 50
_SLICES = (12, MOST_KILLS)
"""Deeds that a bug gets first, and then: most need few. Mostly they are kills; for some bugs stops or hangs."""

Bitten = dict[str, dict[str, object]]


def bite(seed: int, say: Say, names: Sequence[str] = (), keep: Callable[[Bitten], None] | None = None) -> Bitten:
    """Of each bug (those named, or all): whether it was caught, within how many deeds, how many of them were kills, and how the same seed went without it.

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
    for many in _SLICES:
        say(f"{bug.what}: {many} deeds")
        deeds = aimed(many, seed, at=bug.at, agents=bug.agents, action=bug.action)
        with_it = _play(name, deeds, seed, say)
        if caught := with_it is not None and _reached(with_it) and not with_it.account.exact:
            break
    say(f"{bug.what}: {'caught: ' + _broken(with_it) if caught else 'NOT caught'}")
    without = _play(WITHOUT + name, deeds, seed, say)
    exact = without is not None and _reached(without) and without.account.exact
    say(f"without it: {'exact' if exact else 'NOT exact: ' + _broken(without)}")
    return {
        "what": bug.what,
        "caught": caught,
        "deeds": len(deeds),
        "kills": with_it.kills if with_it else 0,
        "broken": _broken(with_it),
        "exact_without_it": exact,
        "with_it": report([with_it] if with_it else []),
        "without_it": report([without] if without else []),
    }


def _reached(outcome: Outcome) -> bool:
    """Whether something was done while records came: else the round says nothing, exact or not."""
    return outcome.deeds > 0 and outcome.account.published > 0 and not outcome.feed_error


def _play(bug: str, deeds: Sequence[Deed], seed: int, say: Say) -> Outcome | None:
    """None when it does not come to rest, or anything else goes wrong: that is no broken invariant."""
    with tempfile.TemporaryDirectory(prefix="safelight-teeth-") as folder:
        try:
            return play(Path(folder), deeds, seed=seed, say=_quiet, bug=bug)
        except Exception as why:  # noqa: BLE001 (the other bugs have their turn all the same)
            say(f"{type(why).__name__}: {why}")
            return None


def _broken(outcome: Outcome | None) -> str:
    if outcome is None:
        return "it did not come to its account"
    if not _reached(outcome):
        return "nothing was done, or nothing was published"
    account = outcome.account
    counts = [f"{count} {what}" for what in ("lost", "duplicated") if (count := getattr(account, what))]
    return ", ".join(counts + [f"{name} differs" for name in account.mismatched])


def _quiet(_: str) -> None:
    """Nothing: the bugs are the progress."""
