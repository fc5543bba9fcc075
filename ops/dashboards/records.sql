-- title: Records read and committed, by agent
-- kind: series
-- unit: records/s
-- order: 40
WITH toStartOfInterval(now('UTC') - {seconds:UInt32}, INTERVAL {rounding:UInt32} SECOND) AS since
SELECT toStartOfInterval(moment, INTERVAL {rounding:UInt32} SECOND)::INT AS t, agent::String AS series, sum(records) / {rounding:UInt32} AS value
FROM
(
    SELECT toDateTime(at, 'UTC') AS moment, agent, value AS records
    FROM metrics
    WHERE {rounding:UInt32} < 60 AND name = 'photos_records_total' AND at >= since
    UNION ALL
    SELECT minute AS moment, agent, sum AS records
    FROM metrics_by_minute
    WHERE {rounding:UInt32} >= 60 AND name = 'photos_records_total' AND minute >= since
)
GROUP BY t, series
ORDER BY t, series
