"""Seeded bugs, one at a time: each must be caught as a broken invariant, and the same kills without it must pass."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.bugs import BUGS
from tests.chaos.plan import aimed
from tests.chaos.report import report
from tests.chaos.round import play
from tests.chaos.storm import Say

MOST_KILLS = 50
_SLICES = (12, MOST_KILLS)
"""Kills that a bug gets first, and then: most need few."""


def bite(seed: int, say: Say, names: Sequence[str] = ()) -> dict[str, dict[str, object]]:
    """Of each bug (those named, or all): whether it was caught, within how many kills, and how the same seed went without it."""
    return {name: _bite(name, seed, say) for name in names or BUGS}


def _bite(name: str, seed: int, say: Say) -> dict[str, object]:
    bug = BUGS[name]
    for kills in _SLICES:
        say(f"{bug.what}: {kills} kills")
        deeds = aimed(kills, seed, at=bug.at, agents=bug.agents, action=bug.action)
        with tempfile.TemporaryDirectory(prefix="safelight-teeth-") as folder:
            with_bug = play(Path(folder), deeds, seed=seed, say=_quiet, bug=name)
        if not with_bug.account.exact:
            break
    say(f"{bug.what}: {'NOT caught' if with_bug.account.exact else 'caught: ' + ', '.join(_broken(with_bug.account))}")
    with tempfile.TemporaryDirectory(prefix="safelight-teeth-") as folder:
        without = play(Path(folder), deeds, seed=seed, say=_quiet)
    say(f"without it: {'exact' if without.account.exact else 'NOT exact: ' + ', '.join(_broken(without.account))}")
    return {
        "what": bug.what,
        "caught": not with_bug.account.exact,
        "kills": len(deeds),
        "broken": _broken(with_bug.account),
        "exact_without_it": without.account.exact,
        "with_it": report([with_bug]),
        "without_it": report([without]),
    }


def _broken(account) -> list[str]:
    counts = [f"{count} {what}" for what in ("lost", "duplicated") if (count := getattr(account, what))]
    return counts + [f"{name} differs" for name in account.mismatched]


def _quiet(_: str) -> None:
    """Nothing: the bugs are the progress."""
