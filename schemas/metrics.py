"""Every metric, declared once: what it counts, in which unit, by which labels.

Names are `photos_<noun>_<unit>`, counters end in `_total`. Dashboards and alerts may use only what is declared here
(tests/contract/test_dashboards.py).
"""

import math
from dataclasses import dataclass
from enum import StrEnum

GROWTH = 1.2
"""Upper bounds of a histogram's buckets grow by this factor: a quantile read from them is at most 20 % too high."""


class Kind(StrEnum):
    """How values over time combine: counters add up, gauges replace, histograms add bucket by bucket."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric."""

    name: str
    kind: Kind
    unit: str
    doc: str
    labels: tuple[str, ...] = ()


RECORDS = Declared("photos_records_total", Kind.COUNTER, "records", "Records read and committed.", ("topic",))
BATCHES = Declared(
    "photos_batch_seconds", Kind.HISTOGRAM, "seconds", "From a batch's delivery to its commit.", ("topic",)
)
LAG = Declared("photos_lag_records", Kind.GAUGE, "records", "Log end less committed position.", ("topic", "partition"))
UP = Declared("photos_worker_up", Kind.GAUGE, "1", "1 while the worker runs.")
RESIDENT = Declared("photos_worker_resident_bytes", Kind.GAUGE, "bytes", "Memory that the worker holds.")
ADMITTED = Declared("photos_admitted_total", Kind.COUNTER, "photos", "Photos that admit took.")
REPEATS = Declared("photos_repeats_total", Kind.COUNTER, "events", "Events that admit had taken before.")
REJECTED = Declared("photos_rejected_total", Kind.COUNTER, "photos", "Photos rejected.", ("reason",))
STALE = Declared(
    "photos_stale_total", Kind.COUNTER, "outcomes", "Outcomes that group dropped: not newer than what it knew."
)
SKIPPED = Declared(
    "photos_skipped_total", Kind.COUNTER, "records", "Metrics and dead letters that store could not read.", ("topic",)
)
INTERNAL_ERRORS = Declared(
    "photos_internal_errors_total",
    Kind.COUNTER,
    "records",
    "Records that an agent failed on every time, by a fault of safelight: rejected as internal_error, or skipped.",
    ("topic",),
)
ROWS = Declared("photos_rows_total", Kind.COUNTER, "rows", "Rows inserted into ClickHouse.", ("table",))
FETCH = Declared("photos_fetch_seconds", Kind.HISTOGRAM, "seconds", "Reading one object.")
FETCHED = Declared("photos_fetched_bytes_total", Kind.COUNTER, "bytes", "Bytes read from the object store.")
DECODE = Declared("photos_decode_seconds", Kind.HISTOGRAM, "seconds", "Decoding one photo.")
INFERENCE = Declared("photos_inference_seconds", Kind.HISTOGRAM, "seconds", "One answer of a model.", ("model",))
INSERT = Declared("photos_insert_seconds", Kind.HISTOGRAM, "seconds", "One INSERT.", ("table",))
WAITED = Declared(
    "photos_waited_seconds_total", Kind.COUNTER, "seconds", "Waiting for a dependency to come back.", ("dependency",)
)

PARKED = Declared(
    "photos_parked_total", Kind.COUNTER, "photos", "Photos that went to wait for what was missing.", ("dependency",)
)
RESUMED = Declared("photos_resumed_total", Kind.COUNTER, "photos", "Photos that came back from waiting.")
SPARED = Declared(
    "photos_spared_calls_total", Kind.COUNTER, "calls", "Answers that were known from another photo.", ("model",)
)

METRICS = {
    metric.name: metric
    for metric in (
        RECORDS,
        BATCHES,
        LAG,
        UP,
        RESIDENT,
        ADMITTED,
        REPEATS,
        REJECTED,
        STALE,
        SKIPPED,
        INTERNAL_ERRORS,
        ROWS,
        FETCH,
        FETCHED,
        DECODE,
        INFERENCE,
        INSERT,
        WAITED,
        PARKED,
        RESUMED,
        SPARED,
    )
}


def bucket_of(seconds: float) -> int:
    """The index of the bucket that holds a duration: the smallest i, 0 or more, with seconds * 1000 <= GROWTH ** i."""
    milliseconds = seconds * 1000
    if milliseconds <= 1:
        return 0
    # Rounding: a value on a bound must not fall into the next bucket.
    return math.ceil(round(math.log(milliseconds, GROWTH), 9))
