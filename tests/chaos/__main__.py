"""Kill everything at every boundary, and account for every event: `python -m tests.chaos`, also `safelight chaos`."""

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path

from tests.chaos.arms import BOUNDARIES
from tests.chaos.bugs import BUGS
from tests.chaos.plan import plan
from tests.chaos.report import report
from tests.chaos.round import Outcome, play
from tests.chaos.teeth import MOST_KILLS, bite

_KILLS_FOR_ALL = 25  # of so many a round's plan has one at every boundary


def main(words: Sequence[str] | None = None) -> int:
    """0: exact, and all that was asked for was done (--teeth: every bug caught); 1: not, and the command that repeats it is printed."""
    options = _options(words)
    if options.teeth:
        return _teeth(options)
    outcomes: list[Outcome] = []
    failed: list[str] = []
    for seed in count(options.seed):
        kills = _share(options, outcomes)
        if not kills:
            failed += _failed(_missing(options.kills, outcomes), _command(options))
            break
        try:
            outcome = _round(seed, kills, options)
        except Exception as why:  # noqa: BLE001 (whatever it is, somebody will want to see it again)
            traceback.print_exc()
            failed += _failed([f"seed {seed}: {type(why).__name__}: {why}"], _again(seed, kills, options.bug))
            break
        outcomes.append(outcome)
        if outcome.wrong:
            failed += _failed([f"seed {seed}: {outcome.wrong}"], _again(seed, kills, options.bug))
        if options.json:  # what is done shall be there if the next round ends otherwise
            _write(options.json, report(outcomes, failed))
    _write(options.json, report(outcomes, failed))
    return 1 if failed else 0


def _failed(lines: list[str], command: str) -> list[str]:
    """The lines, printed with the command that repeats them."""
    if lines:
        print(*lines, f"repeat it: {command}", sep="\n", file=sys.stderr)
    return lines


def _missing(kills: int, outcomes: Sequence[Outcome]) -> list[str]:
    """What was asked for and was not done."""
    done = sum(outcome.kills for outcome in outcomes)
    missing = [f"{done} kills were made, of {kills}"] if done < kills else []
    if kills >= _KILLS_FOR_ALL:
        reached = {boundary for outcome in outcomes for boundary in outcome.by_boundary}
        missing += [f"no worker was killed at {boundary}" for boundary in BOUNDARIES if boundary not in reached]
    return missing


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


def _command(options: argparse.Namespace) -> str:
    return _again(options.seed, options.kills, options.bug) + f" --rounds {options.rounds}" * (options.rounds > 1)


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
        help=f"seed bugs, one at a time: each must be caught within {MOST_KILLS} deeds, mostly kills, and the same deeds pass without it",
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep each round's logs and data there")
    parser.add_argument("--bug", choices=list(BUGS), default="", help="run with this bug; with --teeth, only this one")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
