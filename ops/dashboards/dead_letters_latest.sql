-- title: Latest dead letters
-- kind: table
-- unit: dead letters
-- order: 27
SELECT rejected_at, reason, detail, advice, stage, owner_id, photo_id, object_uri, root_partition, root_offset
FROM dead_letters
ORDER BY rejected_at DESC, root_generation DESC, root_partition DESC, root_offset DESC
LIMIT 50
