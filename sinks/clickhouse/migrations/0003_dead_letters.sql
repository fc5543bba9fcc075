-- What could not be enriched, and why: by time for operators, by owner for those who own the photos.

CREATE TABLE IF NOT EXISTS dead_letters {on_cluster}
(
    reason LowCardinality(String) COMMENT 'Why, from a closed list, such as damaged_photo',
    detail String COMMENT 'What was found, in plain words',
    advice LowCardinality(String) COMMENT 'What to do about it',
    stage LowCardinality(String) COMMENT 'The agent that rejected it: admit or enrich',
    owner_id String COMMENT 'Names the owner of the library; empty when the event could not be read',
    photo_id String COMMENT 'Names the photo in its owner''s library; empty when the event could not be read',
    event_id String COMMENT 'event_id of the upload; empty when the event could not be read',
    object_uri String COMMENT 'Where the photo''s bytes should be; empty when the event could not be read',
    source LowCardinality(String) COMMENT 'Which service published the upload; empty when the event could not be read',
    root_generation Int32 COMMENT 'Which photos.events the upload was read from',
    root_partition Int32 COMMENT 'Partition of photos.events that the upload was read from',
    root_offset Int64 COMMENT 'Offset of the upload in that partition',
    attempt Int32 COMMENT '0 for the upload itself; one more for each redrive of it',
    fill Int32 COMMENT '0 for the first look; one more each time what was missing has been filled in',
    payload_bytes Int64 COMMENT 'Size of an event that could not be read, in bytes; 0 when it could be',
    rejected_at DateTime64(3, 'UTC') COMMENT 'When it was rejected',
    worker_version LowCardinality(String) COMMENT 'Version of safelight that rejected it',
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was written',
    INDEX by_owner owner_id TYPE bloom_filter GRANULARITY 4
)
ENGINE = {engine:}
PARTITION BY toYYYYMM(rejected_at)
ORDER BY (rejected_at, root_generation, root_partition, root_offset)
TTL toDateTime(rejected_at) + INTERVAL 1 YEAR
SETTINGS {windows}, ttl_only_drop_parts = 1
COMMENT 'Photos that were rejected and events that nobody could read, one row each time; kept a year';
