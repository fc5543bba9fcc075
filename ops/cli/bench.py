"""`safelight bench …`: what is in tests/bench, which is part of a checkout and not of an installed safelight."""

import subprocess
import sys
from pathlib import Path

from schemas.errors import SafelightError

_ROOT = Path(__file__).parents[2]


class NoCheckout(SafelightError):  # noqa: N818 (named by what is missing)
    """The command needs what is not installed."""


def bench(name: str, *arguments: str, root: Path = _ROOT) -> int:
    """Run one of them in a process of its own; returns its exit code. Raises NoCheckout."""
    if not (root / "tests" / "bench" / f"{name}.py").exists():
        raise NoCheckout(
            f"the bench {name} is not installed with safelight: run `python -m ops bench {name}` in a checkout of it"
        )
    return subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *arguments], cwd=root, check=False).returncode
