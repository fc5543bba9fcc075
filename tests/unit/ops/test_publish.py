"""Folders to events: what counts as a photo, and ids that make publishing twice harmless."""

import hashlib
from pathlib import Path

import pytest

from ops.publish import File, PublishError, Uploader, find_photos
from tests.support.builders import NOON

pytestmark = pytest.mark.unit


class Published:
    def __init__(self):
        self.events = []

    def publish(self, event):
        self.events.append(event)


@pytest.fixture
def producer():
    return Published()


@pytest.fixture
def uploader(tmp_path, producer):
    (tmp_path / "objects").mkdir()
    root = (tmp_path / "objects").as_uri()
    return Uploader(root=root, owner_id="owner", source="test", producer=producer, now=lambda: NOON)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    for name in ("a.jpg", "b.JPEG", "trip/ü 1.png", "trip/clip.mov", "trip/clip2.MOV", "notes.txt", "README"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_photos_are_found_recursively_and_others_counted_by_kind(folder):
    found = find_photos([folder])
    assert [file.name for file in found.photos] == ["a.jpg", "b.JPEG", "trip/ü 1.png"]
    assert found.skipped == {".mov": 2, ".txt": 1, "README": 1}


def test_a_single_photo_is_named_by_its_file(folder):
    assert find_photos([folder / "trip" / "ü 1.png"]).photos == [File(folder / "trip" / "ü 1.png", "ü 1.png")]


def test_a_path_that_is_not_there_says_so(tmp_path):
    with pytest.raises(PublishError, match="does not exist"):
        find_photos([tmp_path / "nowhere"])


def test_the_event_says_what_was_stored(uploader, producer, folder):
    event = uploader.upload(File(folder / "a.jpg", "a.jpg"))
    stored = Path(event.object_uri.removeprefix("file://")).read_bytes()
    assert producer.events == [event]
    assert stored == b"a.jpg"
    assert event.content_sha256 == hashlib.sha256(stored).digest()
    assert event.size_bytes == len(stored)
    assert event.media_type == "image/jpeg"
    assert event.uploaded_at == NOON


def test_the_same_owner_name_and_content_have_the_same_ids(uploader, folder):
    file = File(folder / "a.jpg", "a.jpg")
    first, again = uploader.upload(file), uploader.upload(file)
    other_name = uploader.upload(File(folder / "a.jpg", "copy.jpg"))
    (folder / "a.jpg").write_bytes(b"changed")
    other_content = uploader.upload(file)
    assert (first.photo_id, first.event_id) == (again.photo_id, again.event_id)
    assert first.photo_id != other_name.photo_id
    assert first.photo_id == other_content.photo_id
    assert first.event_id != other_content.event_id


def test_an_owner_with_slashes_stays_inside_the_root(tmp_path, producer, folder):
    root = tmp_path / "objects"
    root.mkdir()
    uploader = Uploader(root=root.as_uri(), owner_id="../../etc", source="test", producer=producer)
    uri = uploader.upload(File(folder / "a.jpg", "a.jpg")).object_uri
    assert Path(uri.removeprefix("file://")).resolve().is_relative_to(root)


def test_an_unreadable_or_empty_file_is_named(uploader, tmp_path):
    empty = tmp_path / "empty.jpg"
    empty.touch()
    with pytest.raises(PublishError, match="is empty"):
        uploader.upload(File(empty, "empty.jpg"))
    with pytest.raises(PublishError, match="cannot read"):
        uploader.upload(File(tmp_path / "gone.jpg", "gone.jpg"))


@pytest.mark.parametrize(
    "root",
    [
        "https://user:secret@example.com/photos",
        "https://example.com/photos?sig=secret",
        "file:///there/is/none",
        "photos",
    ],
)
def test_a_root_that_cannot_be_uploaded_to_is_told_in_one_line_without_its_secrets(root, producer):
    with pytest.raises(PublishError) as caught:
        Uploader(root=root, owner_id="owner", source="test", producer=producer)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
