-- title: Waiting for a dependency
-- kind: series
-- unit: seconds/s
-- order: 90
WITH toStartOfInterval(now('UTC') - {seconds:UInt32}, INTERVAL {rounding:UInt32} SECOND) AS since
SELECT toStartOfInterval(moment, INTERVAL {rounding:UInt32} SECOND)::INT AS t, dependency AS series, sum(waited) / {rounding:UInt32} AS value
FROM
(
    SELECT toDateTime(at, 'UTC') AS moment, labels['dependency'] AS dependency, value AS waited
    FROM metrics
    WHERE {rounding:UInt32} < 60 AND name = 'photos_waited_seconds_total' AND at >= since
    UNION ALL
    SELECT minute AS moment, labels['dependency'] AS dependency, sum AS waited
    FROM metrics_by_minute
    WHERE {rounding:UInt32} >= 60 AND name = 'photos_waited_seconds_total' AND minute >= since
)
GROUP BY t, series
ORDER BY t, series
