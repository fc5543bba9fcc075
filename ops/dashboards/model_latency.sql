-- title: An answer of a model
-- kind: series
-- unit: seconds
-- order: 60
WITH toStartOfInterval(now('UTC') - {seconds:UInt32}, INTERVAL {rounding:UInt32} SECOND) AS since
SELECT
    t,
    concat(model, ' ', quantile.1) AS series,
    -- The upper bound of the bucket that holds the quantile: at most 20 % too high.
    pow(1.2, mapKeys(histogram)[arrayFirstIndex(n -> n >= quantile.2 * cumulated[-1], cumulated)]) / 1000 AS value
FROM
(
    SELECT t, model, mapSort(sumMap(buckets)) AS histogram, arrayCumSum(mapValues(histogram)) AS cumulated
    FROM
    (
        SELECT
            toStartOfInterval(toDateTime(at, 'UTC'), INTERVAL {rounding:UInt32} SECOND)::INT AS t,
            labels['model'] AS model,
            mapFromArrays(buckets.index, buckets.count) AS buckets
        FROM metrics
        WHERE {rounding:UInt32} < 60 AND name = 'photos_inference_seconds' AND at >= since
        UNION ALL
        SELECT toStartOfInterval(minute, INTERVAL {rounding:UInt32} SECOND)::INT AS t, labels['model'] AS model, buckets
        FROM metrics_by_minute
        WHERE {rounding:UInt32} >= 60 AND name = 'photos_inference_seconds' AND minute >= since
    )
    GROUP BY t, model
)
ARRAY JOIN [('p50', 0.5), ('p99', 0.99)] AS quantile
WHERE cumulated[-1] > 0
ORDER BY t, series
