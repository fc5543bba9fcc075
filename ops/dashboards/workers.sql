-- title: What is running
-- kind: table
-- unit: workers
-- order: 5
SELECT
    agent,
    worker,
    max(at) AS heard_at,
    -- A worker speaks every second; one that its group has given up (10 s) has been silent for longer.
    heard_at > now64(3, 'UTC') - INTERVAL 15 SECOND AND argMaxIf(value, at, name = 'photos_worker_up') > 0 AS up,
    argMaxIf(value, at, name = 'photos_worker_resident_bytes') AS resident_bytes
FROM metrics
WHERE name IN ('photos_worker_up', 'photos_worker_resident_bytes') AND at >= now('UTC') - {seconds:UInt32}
GROUP BY agent, worker
ORDER BY up DESC, agent, heard_at DESC
