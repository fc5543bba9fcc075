-- title: Photos finished, by outcome
-- kind: series
-- unit: photos/s
-- order: 10
WITH toStartOfInterval(now('UTC') - {seconds:UInt32}, INTERVAL {rounding:UInt32} SECOND) AS since
SELECT
    toStartOfInterval(moment, INTERVAL {rounding:UInt32} SECOND)::INT AS t,
    sumIf(photos, outcome = 'enriched') / {rounding:UInt32} AS enriched,
    sumIf(photos, outcome = 'partial') / {rounding:UInt32} AS partial,
    sumIf(photos, outcome = 'rejected') / {rounding:UInt32} AS rejected
FROM
(
    SELECT toDateTime(at, 'UTC') AS moment, outcome, toUInt64(1) AS photos
    FROM photo_outcomes
    WHERE {rounding:UInt32} < 60 AND at >= since AND stamp = 'first'
    UNION ALL
    SELECT minute AS moment, outcome, photos
    FROM photo_outcomes_by_minute
    WHERE {rounding:UInt32} >= 60 AND minute >= since AND stamp = 'first'
)
GROUP BY t
ORDER BY t WITH FILL FROM since::INT TO now()::INT + 1 STEP {rounding:UInt32}
