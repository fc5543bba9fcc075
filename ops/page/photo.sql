SELECT object_uri, content_sha256
FROM photos
WHERE owner_id = {owner:String} AND photo_id = {photo:String}
