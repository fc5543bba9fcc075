-- title: Lag, by agent
-- kind: series
-- unit: records
-- order: 30
WITH toStartOfInterval(now('UTC') - {seconds:UInt32}, INTERVAL {rounding:UInt32} SECOND) AS since
SELECT t, agent::String AS series, sum(lag) AS value
FROM
(
    -- In a rebalance two workers report the same partition: the later one has it.
    SELECT toStartOfInterval(toDateTime(at, 'UTC'), INTERVAL {rounding:UInt32} SECOND)::INT AS t, agent, labels, argMax(value, at) AS lag
    FROM metrics
    WHERE {rounding:UInt32} < 60 AND name = 'photos_lag_records' AND at >= since
    GROUP BY t, agent, labels
    UNION ALL
    SELECT toStartOfInterval(minute, INTERVAL {rounding:UInt32} SECOND)::INT AS t, agent, labels, argMaxMerge(last) AS lag
    FROM metrics_by_minute
    WHERE {rounding:UInt32} >= 60 AND name = 'photos_lag_records' AND minute >= since
    GROUP BY t, agent, labels
)
GROUP BY t, series
ORDER BY t, series
