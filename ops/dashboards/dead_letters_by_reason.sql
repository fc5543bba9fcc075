-- title: Why photos were rejected
-- kind: table
-- unit: dead letters
-- order: 26
SELECT reason, count() AS dead_letters, max(rejected_at) AS latest_at, any(advice) AS advice
FROM dead_letters
WHERE rejected_at >= now('UTC') - {seconds:UInt32}
GROUP BY reason
ORDER BY dead_letters DESC, reason
