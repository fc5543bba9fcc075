"""`safelight chaos`: the harness of tests/chaos, which is part of a checkout and not of the package."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from ops.stack.process import StackError

_CHECKOUT = Path(__file__).parents[2]


def chaos(words: Sequence[str]) -> int:
    """Run it; the exit code. StackError when this is no checkout."""
    if not (_CHECKOUT / "tests" / "chaos" / "__main__.py").exists():
        raise StackError("chaos is not part of the package: clone safelight's repository, and run it there")
    sys.path.insert(0, str(_CHECKOUT))  # where a console script does not look
    return int(importlib.import_module("tests.chaos.__main__").main(words))
