-- title: Last photos
-- kind: wall
-- unit: photos
-- order: 110
SELECT
    photo_id,
    owner_id,
    object_uri,
    content_sha256,
    width,
    height,
    -- Whether it is safe is not what is in it.
    arraySlice(
        arrayReverseSort(
            label -> label.2,
            arrayFilter((label, model) -> model != 'unsafe', arrayZip(labels.name, labels.score), labels.model)
        ), 1, 5
    ) AS top_labels,
    missing,
    captured_at,
    uploaded_at,
    stored_at
FROM
(
    SELECT *, revision
    FROM
    (
        -- Not through the view photos, which would read every photo: who was stored last is among the last rows.
        SELECT *, revision
        FROM photo_enrichments
        ORDER BY stored_at DESC
        LIMIT 200
    )
    ORDER BY revision DESC
    LIMIT 1 BY owner_id, photo_id
)
ORDER BY stored_at DESC, revision DESC
LIMIT 48
