-- title: Workers up, by agent
-- kind: series
-- unit: workers
-- order: 50
WITH toStartOfInterval(now('UTC') - {seconds:UInt32}, INTERVAL {rounding:UInt32} SECOND) AS since
SELECT t, agent::String AS series, avg(workers) AS value
FROM
(
    SELECT toStartOfInterval(toDateTime(at, 'UTC'), INTERVAL {rounding:UInt32} SECOND)::INT AS t, agent, uniqExact(worker) AS workers
    FROM metrics
    WHERE {rounding:UInt32} < 60 AND name = 'photos_worker_up' AND value > 0 AND at >= since
    GROUP BY t, agent
    UNION ALL
    SELECT toStartOfInterval(minute, INTERVAL {rounding:UInt32} SECOND)::INT AS t, agent, uniqExact(worker) AS workers
    FROM metrics_by_minute
    WHERE {rounding:UInt32} >= 60 AND name = 'photos_worker_up' AND max > 0 AND minute >= since
    GROUP BY minute, agent
)
GROUP BY t, series
ORDER BY t, series
