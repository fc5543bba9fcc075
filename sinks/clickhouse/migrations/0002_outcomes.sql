-- What operators query: one row an outcome, by time, naming neither owner nor photo, so that an erasure need not touch it.
-- Everything that is counted over time is counted from here.

CREATE TABLE IF NOT EXISTS photo_outcomes {on_cluster}
(
    root_generation Int32 COMMENT 'Which photos.events the upload was read from',
    root_partition Int32 COMMENT 'Partition of photos.events that the upload was read from',
    root_offset Int64 COMMENT 'Offset of the upload in that partition',
    attempt Int32 COMMENT '0 for the upload itself; one more for each redrive of it',
    fill Int32 COMMENT '0 for the first look; one more each time what was missing has been filled in',
    stamp LowCardinality(String) COMMENT 'first, filled, again or deleted: to count every photo once, count first',
    outcome LowCardinality(String) COMMENT 'enriched (whole), partial (some model has not answered) or rejected',
    reason LowCardinality(String) COMMENT 'Why it was rejected; empty when it was not',
    source LowCardinality(String) COMMENT 'Which service published the upload',
    media_type LowCardinality(String) COMMENT 'What the bytes are; empty when it was rejected',
    size_bytes Int64 COMMENT 'Size of the object in bytes',
    uploaded_at DateTime64(3, 'UTC') COMMENT 'When the upload was complete, by the uploader''s clock',
    at DateTime64(3, 'UTC') COMMENT 'When the outcome was appended to photos.grouped, by the broker''s clock',
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was written; end-to-end latency is from uploaded_at to here'
)
ENGINE = {engine:}
PARTITION BY toYYYYMM(at)
ORDER BY at
TTL toDateTime(at) + INTERVAL 90 DAY
SETTINGS {windows}, ttl_only_drop_parts = 1
COMMENT 'Outcomes of photos, one row each, naming neither owner nor photo; kept 90 days';

CREATE TABLE IF NOT EXISTS photo_outcomes_by_minute {on_cluster}
(
    minute DateTime('UTC') COMMENT 'Beginning of the minute in which the outcomes were appended to photos.grouped',
    stamp LowCardinality(String) COMMENT 'first, filled, again or deleted: to count every photo once, count first',
    outcome LowCardinality(String) COMMENT 'enriched, partial or rejected',
    reason LowCardinality(String) COMMENT 'Why they were rejected; empty when they were not',
    source LowCardinality(String) COMMENT 'Which service published the uploads',
    photos SimpleAggregateFunction(sum, UInt64) COMMENT 'How many outcomes',
    bytes SimpleAggregateFunction(sum, Int64) COMMENT 'Size of their objects together, in bytes',
    latency_milliseconds SimpleAggregateFunction(sum, Int64) COMMENT 'Their end-to-end latencies together, in milliseconds',
    latency_buckets SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)) COMMENT 'Histogram of the latencies: bucket i counts those in (1.2^(i-1), 1.2^i] milliseconds, bucket 0 those up to 1'
)
ENGINE = {engine:Aggregating}
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, stamp, outcome, reason, source)
SETTINGS {windows}
COMMENT 'Outcomes by minute; sum over what you group by, since rows of one key may not be merged yet';

-- stored_at >= uploaded_at unless clocks differ; the bucket's formula is bucket_of of schemas/metrics.py.
CREATE MATERIALIZED VIEW IF NOT EXISTS photo_outcomes_by_minute_feed {on_cluster}
TO photo_outcomes_by_minute
AS WITH
    greatest(toUnixTimestamp64Milli(stored_at) - toUnixTimestamp64Milli(uploaded_at), 0) AS milliseconds,
    toUInt16(if(milliseconds <= 1, 0, ceil(round(log(milliseconds) / log(1.2), 9)))) AS bucket
SELECT
    toStartOfMinute(toDateTime(at, 'UTC')) AS minute,
    stamp,
    outcome,
    reason,
    source,
    count() AS photos,
    sum(size_bytes) AS bytes,
    sum(milliseconds) AS latency_milliseconds,
    sumMap(map(bucket, toUInt64(1))) AS latency_buckets
FROM photo_outcomes
GROUP BY minute, stamp, outcome, reason, source
COMMENT 'Keeps photo_outcomes_by_minute';
