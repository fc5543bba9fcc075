"""Kill everything at every boundary, and account for every event: `python -m tests.chaos`, also `safelight chaos`."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path

from tests.chaos.bugs import BUGS
from tests.chaos.plan import plan
from tests.chaos.records import Unsettled
from tests.chaos.report import report
from tests.chaos.round import Outcome, play
from tests.chaos.teeth import MOST_KILLS, bite


def main(words: Sequence[str] | None = None) -> int:
    """0: exact (--teeth: every bug caught); 1: not, and the command that repeats it is printed."""
    options = _options(words)
    if options.teeth:
        return _teeth(options)
    outcomes: list[Outcome] = []
    for seed in count(options.seed):
        kills = _share(options, outcomes)
        if not kills:
            break
        try:
            outcomes.append(_round(seed, kills, options))
        except Unsettled as why:
            print(f"seed {seed}: {why}\nrepeat it: {_again(seed, kills, options.bug)}", file=sys.stderr)
            return 1
        if not outcomes[-1].account.exact:
            print(f"seed {seed} is not exact; repeat it: {_again(seed, kills, options.bug)}", file=sys.stderr)
        _write(options.json, report(outcomes))
    return 0 if all(outcome.account.exact for outcome in outcomes) else 1


def _share(options: argparse.Namespace, outcomes: Sequence[Outcome]) -> int:
    """The next round's kills. For boundaries that no worker came by, one round more makes up; not for ever."""
    done = len(outcomes)
    if done < options.rounds:
        return options.kills // options.rounds + (done < options.kills % options.rounds)
    missing = options.kills - sum(outcome.kills for outcome in outcomes)
    return max(missing, 0) if done == options.rounds else 0


def _round(seed: int, kills: int, options: argparse.Namespace) -> Outcome:
    with ExitStack() as stack:
        if options.keep:
            folder = options.keep / f"seed-{seed}"
            folder.mkdir(parents=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="safelight-chaos-")))
        return play(folder, plan(kills, seed), seed=seed, say=_Said(f"seed {seed}: "), bug=options.bug)


def _teeth(options: argparse.Namespace) -> int:
    keep = partial(_write, options.json) if options.json else None
    bitten = bite(options.seed, _Said(), [options.bug] if options.bug else (), keep)
    if keep is None:
        _write(None, bitten)
    missed = [name for name, each in bitten.items() if not (each["caught"] and each["exact_without_it"])]
    for name in missed:
        print(f"repeat it: safelight chaos --teeth --bug {name} --seed {options.seed}", file=sys.stderr)
    return 1 if missed else 0


def _again(seed: int, kills: int, bug: str) -> str:
    return f"safelight chaos --kills {kills} --seed {seed}" + (f" --bug {bug}" if bug else "")


def _write(path: Path | None, what: object) -> None:
    if path:
        path.write_text(json.dumps(what, indent=1) + "\n")
    else:
        print(json.dumps(what, indent=1))


class _Said:
    """Progress, a line when something new is to be said."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._began = time.monotonic()
        self._last = ""

    def __call__(self, line: str) -> None:
        if line != self._last:
            print(f"{time.monotonic() - self._began:6.1f} s  {self._prefix}{line}", file=sys.stderr, flush=True)
        self._last = line


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="safelight chaos",
        description="Kill workers at every boundary, and the broker, ClickHouse and Triton, under a seeded load on a stack of "
        "its own; then account for every event, in every topic, table and rollup.",
        epilog="Example: safelight chaos --kills 1000 --rounds 5 --seed 1 --json chaos.json",
    )
    parser.add_argument("--kills", type=int, default=50, help="how many, in all rounds together (default 50)")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each further has the next (default 1)")
    parser.add_argument(
        "--rounds",
        type=int,
        default=1,
        help="each with a stack of its own (default 1); one more makes up for kills that could not be made",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the report goes instead of the terminal")
    parser.add_argument(
        "--teeth",
        action="store_true",
        help=f"seed bugs, one at a time: each must be caught within {MOST_KILLS} kills, and the same kills pass without it",
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep each round's logs and data there")
    parser.add_argument("--bug", choices=list(BUGS), default="", help="run with this bug; with --teeth, only this one")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
