"""`safelight bench …` and `safelight chaos`: programs of tests/, which is part of a checkout and not of the package."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import SafelightError

_ROOT = Path(__file__).parents[2]


class NoCheckout(SafelightError):  # noqa: N818 (named by what is missing)
    """The command needs what is not installed."""


def run(command: str, module: str, words: Sequence[str], *, root: Path = _ROOT) -> int:
    """The exit code of the `main` of a module of tests/, which the command is for. Raises NoCheckout."""
    if not root.joinpath("tests", *module.split(".")).with_suffix(".py").exists():
        raise NoCheckout(
            f"{command} is not part of the package: clone safelight's repository, and run `python -m ops {command}` there"
        )
    sys.path.insert(0, str(root))  # where a console script does not look
    return int(importlib.import_module(f"tests.{module}").main(list(words)))
