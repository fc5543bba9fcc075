-- What operators changed: a row a run of a command that changes something, not one that agents write.
--
-- It is written before the first change, and again when the run ends: a run that was killed has begun and never ended. It names
-- the operator, since that is what it is for, and never an owner or a photo, so that an erasure need not touch it.

CREATE TABLE IF NOT EXISTS audit {on_cluster}
(
    run UUID COMMENT 'Names the run',
    command LowCardinality(String) COMMENT 'What was run, such as deadletters redrive',
    arguments Map(LowCardinality(String), String) COMMENT 'What it was limited to, by option; of an owner or a photo only that there was one',
    actor String COMMENT 'Who ran it: user and host, as the operating system names them; personal data of an operator, kept as long as the row',
    version LowCardinality(String) COMMENT 'Version of safelight that ran',
    started_at DateTime64(3, 'UTC') COMMENT 'When it began, before its first change',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it ended; null while it runs, and for good if it was killed: then some of it may be done',
    ending LowCardinality(String) COMMENT 'done, failed or interrupted; empty when it has not ended',
    counts Map(LowCardinality(String), UInt64) COMMENT 'What came of it, such as sent and the reasons why others were skipped',
    revision UInt8 COMMENT '0 as it was written at the beginning, 1 at the end'
)
ENGINE = {engine:Replacing(revision)}
PARTITION BY toYYYYMM(started_at)
ORDER BY (started_at, run)
TTL toDateTime(started_at) + INTERVAL 1 YEAR
SETTINGS {windows}, ttl_only_drop_parts = 1
COMMENT 'Commands that changed something, one row a run: query with FINAL; kept a year';
