from datetime import timedelta

import pytest

from sinks.clickhouse.windows import Window, window_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("engine", "window"),
    [
        ("MergeTree ORDER BY at SETTINGS non_replicated_deduplication_window = 7", Window(7, None)),
        ("MergeTree ORDER BY at SETTINGS index_granularity = 8192", Window(0, None)),
        (
            "ReplicatedMergeTree('/p') SETTINGS replicated_deduplication_window = 7, replicated_deduplication_window_seconds = 60",
            Window(7, timedelta(minutes=1)),
        ),
        ("ReplicatedMergeTree('/p', 'r') SETTINGS non_replicated_deduplication_window = 7", Window(0, timedelta())),
    ],
)
def test_what_a_table_remembers_is_in_its_engine(engine, window):
    assert window_of(engine) == window
