"""How an agent says what it measured; streams/telemetry.py collects it."""

from typing import Protocol

from schemas.metrics import Declared


class Measure(Protocol):
    """Takes measurements of declared metrics; cheap, never blocks, never raises."""

    def count(self, metric: Declared, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""

    def observe(self, metric: Declared, seconds: float, **labels: str) -> None:
        """Add one observation to a histogram."""
