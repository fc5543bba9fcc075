"""What holds for every test: it says which kind it is, and the summary counts each kind."""

from collections import Counter

import pytest

pytest_plugins = ["tests.support.providers", "tests.support.objects"]

KINDS = ("unit", "property", "contract", "integration", "e2e", "browser", "chaos")


def kinds_of(item):
    return [kind for kind in KINDS if item.get_closest_marker(kind)]


def pytest_collection_modifyitems(config, items):
    without = [item.nodeid for item in items if not kinds_of(item)]
    if without:
        raise pytest.UsageError(f"tests without a kind ({', '.join(KINDS)}): {', '.join(without[:5])}")
    # Cheap ones first: a slip shows in seconds, not behind the servers' start.
    items.sort(key=lambda item: min(KINDS.index(kind) for kind in kinds_of(item)))
    config.stash[_COUNTS] = Counter(kind for item in items for kind in kinds_of(item))


def pytest_terminal_summary(terminalreporter, config):
    counts = config.stash.get(_COUNTS, Counter())
    terminalreporter.section("tests per marker")
    terminalreporter.write_line("  ".join(f"{kind} {counts[kind]}" for kind in KINDS))


_COUNTS = pytest.StashKey[Counter]()
