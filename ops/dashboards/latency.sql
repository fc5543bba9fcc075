-- title: From upload to row, end to end
-- kind: series
-- unit: seconds
-- order: 20
WITH
    toStartOfInterval(now('UTC') - {seconds:UInt32}, INTERVAL {rounding:UInt32} SECOND) AS since,
    -- The upper bound of the bucket that holds the quantile: at most 20 % too high.
    (level, histogram) -> pow(1.2, mapKeys(histogram)[arrayFirstIndex(
        n -> n >= level * arraySum(mapValues(histogram)), arrayCumSum(mapValues(histogram)))]) / 1000 AS from_buckets
SELECT t, p50, p99
FROM
(
    SELECT
        toStartOfInterval(toDateTime(at, 'UTC'), INTERVAL {rounding:UInt32} SECOND)::INT AS t,
        quantilesExact(0.5, 0.99)(
            greatest(toUnixTimestamp64Milli(stored_at) - toUnixTimestamp64Milli(uploaded_at), 0) / 1000) AS quantiles,
        toNullable(quantiles[1]) AS p50,
        toNullable(quantiles[2]) AS p99
    FROM photo_outcomes
    WHERE {rounding:UInt32} < 60 AND at >= since AND stamp = 'first'
    GROUP BY t
    UNION ALL
    SELECT
        toStartOfInterval(minute, INTERVAL {rounding:UInt32} SECOND)::INT AS t,
        [] AS quantiles,
        toNullable(from_buckets(0.5, mapSort(sumMap(latency_buckets)))) AS p50,
        toNullable(from_buckets(0.99, mapSort(sumMap(latency_buckets)))) AS p99
    FROM photo_outcomes_by_minute
    WHERE {rounding:UInt32} >= 60 AND minute >= since AND stamp = 'first'
    GROUP BY t
)
ORDER BY t WITH FILL FROM since::INT TO now()::INT + 1 STEP {rounding:UInt32}
