SELECT object_uri, content_sha256, size_bytes
FROM photos
WHERE owner_id = {owner:String} AND photo_id = {photo:String}
