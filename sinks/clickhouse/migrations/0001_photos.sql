-- What application teams query: what was seen in each photo, by owner and photo.
--
-- No partitions: a newer look at a photo replaces the older one only inside a partition, and an INSERT into one partition
-- is one part, so it is there whole or not at all. Kept until it is replaced or erased.

CREATE TABLE IF NOT EXISTS photo_enrichments {on_cluster}
(
    owner_id String COMMENT 'Names the owner of the library',
    photo_id String COMMENT 'Names the photo in its owner''s library',
    root_generation Int32 COMMENT 'Which photos.events the upload was read from; with partition and offset it names the upload that the row stems from',
    root_partition Int32 COMMENT 'Partition of photos.events that the upload was read from',
    root_offset Int64 COMMENT 'Offset of the upload in that partition',
    attempt Int32 COMMENT '0 for the upload itself; one more for each redrive of it',
    fill Int32 COMMENT '0 for the first look; one more each time what was missing has been filled in',
    revision UInt128 MATERIALIZED
        bitShiftLeft(toUInt128(root_generation), 96) + bitShiftLeft(toUInt128(root_offset), 32)
        + bitShiftLeft(toUInt128(attempt), 16) + toUInt128(fill)
        COMMENT 'Generation, offset, attempt and fill in one number: of two looks at a photo the greater is the newer, and replaces the other',
    stamp LowCardinality(String) COMMENT 'What the row is to the library: first (first outcome of the photo), filled (what was missing came in) or again (a later upload or a redrive)',
    event_id String COMMENT 'event_id of the upload',
    object_uri String COMMENT 'Where the photo''s bytes are',
    content_sha256 String COMMENT 'SHA-256 of the photo''s bytes, 64 lowercase hexadecimal digits',
    size_bytes Int64 COMMENT 'Size of the object in bytes',
    media_type LowCardinality(String) COMMENT 'What the bytes are, such as image/jpeg',
    width Int32 COMMENT 'Width in pixels, as shown (EXIF orientation applied)',
    height Int32 COMMENT 'Height in pixels, as shown (EXIF orientation applied)',
    captured_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the photo was taken; null when unknown, or outside the years 1900 to 2299',
    uploaded_at DateTime64(3, 'UTC') COMMENT 'When the upload was complete, by the uploader''s clock',
    admitted_at DateTime64(3, 'UTC') COMMENT 'When admit took it',
    enriched_at DateTime64(3, 'UTC') COMMENT 'When the last model had answered',
    source LowCardinality(String) COMMENT 'Which service published the upload',
    labels Nested
    (
        model LowCardinality(String),
        name LowCardinality(String),
        score Float32
    ) COMMENT 'What the models saw',
    models Nested
    (
        name LowCardinality(String),
        version LowCardinality(String)
    ) COMMENT 'Which models answered',
    missing Array(LowCardinality(String)) COMMENT 'Models that were asked and have not answered; empty when the photo is whole',
    worker_version LowCardinality(String) COMMENT 'Version of safelight that looked at the photo',
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was written; end-to-end latency ends here',
    INDEX by_stored_at stored_at TYPE minmax GRANULARITY 1
)
ENGINE = {engine:Replacing(revision)}
ORDER BY (owner_id, photo_id)
SETTINGS {windows}
COMMENT 'What was seen in each photo; it can hold older looks at a photo too: query the view photos, which shows each photo once';

ALTER TABLE photo_enrichments {on_cluster} COMMENT COLUMN `labels.model` 'Model that said it, one entry a label';
ALTER TABLE photo_enrichments {on_cluster} COMMENT COLUMN `labels.name` 'What it saw, such as espresso; of each model the most confident first';
ALTER TABLE photo_enrichments {on_cluster} COMMENT COLUMN `labels.score` 'The model''s confidence, 0 to 1';
ALTER TABLE photo_enrichments {on_cluster} COMMENT COLUMN `models.name` 'Models that answered, such as scene_label';
ALTER TABLE photo_enrichments {on_cluster} COMMENT COLUMN `models.version` 'Version of each of them';

CREATE TABLE IF NOT EXISTS photo_embeddings {on_cluster}
(
    owner_id String COMMENT 'Names the owner of the library',
    photo_id String COMMENT 'Names the photo in its owner''s library',
    model LowCardinality(String) COMMENT 'Model that made the vector',
    version LowCardinality(String) COMMENT 'Version of the model; vectors of different versions cannot be compared',
    root_generation Int32 COMMENT 'Which photos.events the upload was read from',
    root_partition Int32 COMMENT 'Partition of photos.events that the upload was read from',
    root_offset Int64 COMMENT 'Offset of the upload in that partition',
    attempt Int32 COMMENT '0 for the upload itself; one more for each redrive of it',
    fill Int32 COMMENT '0 for the first look; one more each time what was missing has been filled in',
    revision UInt128 MATERIALIZED
        bitShiftLeft(toUInt128(root_generation), 96) + bitShiftLeft(toUInt128(root_offset), 32)
        + bitShiftLeft(toUInt128(attempt), 16) + toUInt128(fill)
        COMMENT 'As in photo_enrichments: a vector is of the look that photos shows when their revisions are equal',
    embedding Array(BFloat16) COMMENT 'The photo as a vector of length 1 (L2), rounded to BFloat16: dotProduct of two is their cosine',
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was written'
)
ENGINE = {engine:Replacing(revision)}
ORDER BY (owner_id, photo_id, model)
SETTINGS {windows}
COMMENT 'Photos as vectors, for search by likeness; it can hold older looks too: query with FINAL, joined to photos on owner_id, photo_id and revision';

CREATE VIEW IF NOT EXISTS photos {on_cluster}
(
    owner_id String COMMENT 'Names the owner of the library',
    photo_id String COMMENT 'Names the photo in its owner''s library',
    root_generation Int32 COMMENT 'Which photos.events the upload was read from',
    root_partition Int32 COMMENT 'Partition of photos.events that the upload was read from',
    root_offset Int64 COMMENT 'Offset of the upload in that partition',
    attempt Int32 COMMENT '0 for the upload itself; one more for each redrive of it',
    fill Int32 COMMENT '0 for the first look; one more each time what was missing has been filled in',
    revision UInt128 COMMENT 'Which look at the photo this is: the greater is the newer',
    stamp LowCardinality(String) COMMENT 'first, filled or again',
    event_id String COMMENT 'event_id of the upload',
    object_uri String COMMENT 'Where the photo''s bytes are',
    content_sha256 String COMMENT 'SHA-256 of the photo''s bytes, 64 lowercase hexadecimal digits',
    size_bytes Int64 COMMENT 'Size of the object in bytes',
    media_type LowCardinality(String) COMMENT 'What the bytes are, such as image/jpeg',
    width Int32 COMMENT 'Width in pixels, as shown',
    height Int32 COMMENT 'Height in pixels, as shown',
    captured_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the photo was taken; null when unknown',
    uploaded_at DateTime64(3, 'UTC') COMMENT 'When the upload was complete, by the uploader''s clock',
    admitted_at DateTime64(3, 'UTC') COMMENT 'When admit took it',
    enriched_at DateTime64(3, 'UTC') COMMENT 'When the last model had answered',
    source LowCardinality(String) COMMENT 'Which service published the upload',
    `labels.model` Array(LowCardinality(String)) COMMENT 'Model that said it, one entry a label',
    `labels.name` Array(LowCardinality(String)) COMMENT 'What it saw; of each model the most confident first',
    `labels.score` Array(Float32) COMMENT 'The model''s confidence, 0 to 1',
    `models.name` Array(LowCardinality(String)) COMMENT 'Models that answered',
    `models.version` Array(LowCardinality(String)) COMMENT 'Version of each of them',
    missing Array(LowCardinality(String)) COMMENT 'Models that were asked and have not answered',
    worker_version LowCardinality(String) COMMENT 'Version of safelight that looked at the photo',
    stored_at DateTime64(3, 'UTC') COMMENT 'When the row was written'
)
AS SELECT
    owner_id, photo_id, root_generation, root_partition, root_offset, attempt, fill, revision, stamp, event_id, object_uri,
    content_sha256, size_bytes, media_type, width, height, captured_at, uploaded_at, admitted_at, enriched_at, source,
    labels.model, labels.name, labels.score, models.name, models.version, missing, worker_version, stored_at
FROM photo_enrichments FINAL
COMMENT 'Each photo once, as it was seen last';

CREATE VIEW IF NOT EXISTS exact_duplicates {on_cluster}
(
    owner_id String COMMENT 'Names the owner of the library',
    content_sha256 String COMMENT 'SHA-256 of the bytes that the photos share',
    photo_ids Array(String) COMMENT 'The photos with these bytes, in the order of their uploads',
    representative String COMMENT 'The one that stands for them: the earliest upload',
    copies UInt64 COMMENT 'How many photos there are beside the one that stands for them'
)
AS SELECT
    owner_id,
    content_sha256,
    arrayMap(photo -> photo.2, arraySort(groupArray((revision, photo_id)))) AS photo_ids,
    photo_ids[1] AS representative,
    count() - 1 AS copies
FROM photos
GROUP BY owner_id, content_sha256
HAVING copies > 0
COMMENT 'Photos of one owner that are the same bytes';
