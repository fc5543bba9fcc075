-- What workers measured: raw for a month, by minute for a year.

CREATE TABLE IF NOT EXISTS metrics {on_cluster}
(
    name LowCardinality(String) COMMENT 'Name of the metric, such as photos_lag_records',
    agent LowCardinality(String) COMMENT 'The agent that measured: admit, enrich, group or store',
    worker LowCardinality(String) COMMENT 'The worker process that measured: agent, host and process id',
    labels Map(LowCardinality(String), String) COMMENT 'What the measurement is about, such as the topic or the model; keys in order',
    at DateTime64(3, 'UTC') COMMENT 'End of the interval that was measured',
    value Float64 COMMENT 'A counter''s increase over the interval, a gauge''s value at its end, a histogram''s sum over the interval',
    buckets Nested
    (
        index Int32,
        count Int64
    ) COMMENT 'A histogram''s observations over the interval'
)
ENGINE = {engine:}
PARTITION BY toYYYYMMDD(at)
ORDER BY (name, at)
TTL toDateTime(at) + INTERVAL 30 DAY
SETTINGS {windows}, ttl_only_drop_parts = 1
COMMENT 'What workers measured, one row a measurement and interval; kept 30 days';

ALTER TABLE metrics {on_cluster} COMMENT COLUMN `buckets.index` 'Bucket i counts observations in (1.2^(i-1), 1.2^i] milliseconds, bucket 0 those up to 1; empty unless a histogram';
ALTER TABLE metrics {on_cluster} COMMENT COLUMN `buckets.count` 'How many observations fell into the bucket';

CREATE TABLE IF NOT EXISTS metrics_by_minute {on_cluster}
(
    name LowCardinality(String) COMMENT 'Name of the metric',
    minute DateTime('UTC') COMMENT 'Beginning of the minute',
    agent LowCardinality(String) COMMENT 'The agent that measured',
    worker LowCardinality(String) COMMENT 'The worker process that measured',
    labels Map(LowCardinality(String), String) COMMENT 'What the measurements are about',
    sum SimpleAggregateFunction(sum, Float64) COMMENT 'Sum of the values: what a counter or a histogram grew by',
    count SimpleAggregateFunction(sum, UInt64) COMMENT 'How many measurements',
    max SimpleAggregateFunction(max, Float64) COMMENT 'The greatest value',
    last AggregateFunction(argMax, Float64, DateTime64(3, 'UTC')) COMMENT 'The value at the end of the minute, which is what a gauge means; read with argMaxMerge',
    buckets SimpleAggregateFunction(sumMap, Map(Int32, Int64)) COMMENT 'The histogram of the minute: observations by bucket'
)
ENGINE = {engine:Aggregating}
PARTITION BY toYYYYMM(minute)
ORDER BY (name, minute, agent, worker, labels)
TTL minute + INTERVAL 13 MONTH
SETTINGS {windows}, ttl_only_drop_parts = 1
COMMENT 'Metrics by minute; kept 13 months; aggregate over what you group by, since rows of one key may not be merged yet';

CREATE MATERIALIZED VIEW IF NOT EXISTS metrics_by_minute_feed {on_cluster}
TO metrics_by_minute
AS SELECT
    name,
    toStartOfMinute(toDateTime(at, 'UTC')) AS minute,
    agent,
    worker,
    mapSort(metrics.labels) AS labels,
    sum(value) AS sum,
    count() AS count,
    max(value) AS max,
    argMaxState(value, at) AS last,
    sumMap(mapFromArrays(metrics.buckets.index, metrics.buckets.count)) AS buckets
FROM metrics
GROUP BY name, minute, agent, worker, labels
COMMENT 'Keeps metrics_by_minute';
