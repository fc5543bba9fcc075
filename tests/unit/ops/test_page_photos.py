from hashlib import sha256

import pytest

from ops.page.photos import Photos
from schemas.errors import Unavailable
from streams.settings import Settings
from tests.support.answers import Answers
from tests.support.pictures import picture

pytestmark = pytest.mark.unit

PHOTO = picture((800, 600))


class Library:
    """One photo in a folder, and what ClickHouse says of it."""

    def __init__(self, folder):
        self.file = folder / "objects" / "photo.jpg"
        self.file.parent.mkdir()
        self.file.write_bytes(PHOTO)
        self.clickhouse = Answers()
        self.says(self.file)
        self.photos = Photos(self.clickhouse, Settings(object_roots=(self.file.parent.as_uri(),)))

    def says(self, path):
        self.clickhouse.rows = [[path.as_uri(), sha256(PHOTO).hexdigest(), len(PHOTO)]]


@pytest.fixture
async def library(tmp_path):
    library = Library(tmp_path)
    yield library
    await library.photos.close()


async def test_a_photo_is_shown_small(library):
    found = await library.photos.find("owner", "photo")
    assert found.jpeg.startswith(b"\xff\xd8")
    assert found.tag == sha256(PHOTO).hexdigest()
    assert library.clickhouse.asked[0][1] == {"owner": "owner", "photo": "photo"}


async def test_it_is_read_once(library):
    first = await library.photos.find("owner", "photo")
    library.file.unlink()
    assert await library.photos.find("owner", "photo") == first


async def test_an_erased_photo_is_not_shown_though_it_was_just_now(library):
    assert (await library.photos.find("owner", "photo")).jpeg
    library.clickhouse.rows = []
    assert await library.photos.find("owner", "photo") is None


async def test_nothing_outside_the_roots_is_read(library, tmp_path):
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(PHOTO)
    library.says(outside)
    assert (await library.photos.find("owner", "photo")).jpeg is None


async def test_a_root_that_is_away_hides_no_photo_of_the_others(library, tmp_path):
    roots = ((tmp_path / "away").as_uri(), library.file.parent.as_uri())
    photos = Photos(library.clickhouse, Settings(object_roots=roots))
    assert (await photos.find("owner", "photo")).jpeg
    library.says(tmp_path / "away" / "photo.jpg")
    assert (await photos.find("owner", "photo")).jpeg, "by its bytes it is known"
    await photos.close()


async def test_a_link_that_leads_out_of_the_roots_is_not_followed(library, tmp_path):
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(PHOTO)
    library.file.unlink()
    library.file.symlink_to(outside)
    assert (await library.photos.find("owner", "photo")).jpeg is None


async def test_other_bytes_than_were_looked_at_are_not_shown(library):
    other = bytearray(PHOTO)
    other[-10] ^= 1
    library.file.write_bytes(bytes(other))
    assert (await library.photos.find("owner", "photo")).jpeg is None


async def test_a_photo_that_is_away_is_shown_when_it_is_back(library):
    library.file.rename(library.file.with_suffix(".away"))
    assert (await library.photos.find("owner", "photo")).jpeg is None
    library.file.with_suffix(".away").rename(library.file)
    assert (await library.photos.find("owner", "photo")).jpeg


async def test_a_root_that_is_away_hurts_only_its_photos(tmp_path):
    clickhouse = Answers(rows=[["file:///nowhere/photo.jpg", "00" * 32, 5]])
    photos = Photos(clickhouse, Settings(object_roots=((tmp_path / "missing").as_uri(),)))
    assert (await photos.find("owner", "photo")).jpeg is None
    await photos.close()


async def test_without_clickhouse_nothing_is_known(library):
    library.clickhouse.error = Unavailable("clickhouse", "no answer")
    with pytest.raises(Unavailable):
        await library.photos.find("owner", "photo")
