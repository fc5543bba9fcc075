-- title: Dead letters, by reason
-- kind: series
-- unit: dead letters
-- order: 25
SELECT toStartOfInterval(toDateTime(rejected_at, 'UTC'), INTERVAL {rounding:UInt32} SECOND)::INT AS t, reason::String AS series, count() AS value
FROM dead_letters
WHERE rejected_at >= toStartOfInterval(now('UTC') - {seconds:UInt32}, INTERVAL {rounding:UInt32} SECOND)
GROUP BY t, series
ORDER BY t, series
