-- title: Totals
-- kind: numbers
-- unit: photos
-- order: 1
SELECT
    sum(alike) AS photos,
    photos - count() AS exact_duplicates,
    (SELECT count() FROM dead_letters) AS dead_letters
FROM
(
    SELECT count() AS alike
    FROM photos
    GROUP BY owner_id, content_sha256
)
