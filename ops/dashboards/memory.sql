-- title: Memory, by worker
-- kind: series
-- unit: bytes
-- order: 100
WITH toStartOfInterval(now('UTC') - {seconds:UInt32}, INTERVAL {rounding:UInt32} SECOND) AS since
SELECT t, worker::String AS series, bytes AS value
FROM
(
    SELECT toStartOfInterval(toDateTime(at, 'UTC'), INTERVAL {rounding:UInt32} SECOND)::INT AS t, worker, max(value) AS bytes
    FROM metrics
    WHERE {rounding:UInt32} < 60 AND name = 'photos_worker_resident_bytes' AND at >= since
    GROUP BY t, worker
    UNION ALL
    SELECT toStartOfInterval(minute, INTERVAL {rounding:UInt32} SECOND)::INT AS t, worker, max(max) AS bytes
    FROM metrics_by_minute
    WHERE {rounding:UInt32} >= 60 AND name = 'photos_worker_resident_bytes' AND minute >= since
    GROUP BY t, worker
)
ORDER BY t, series
