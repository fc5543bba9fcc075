"""Folders to events: what counts as a photo, and ids that make publishing twice harmless."""

import hashlib
import os
from pathlib import Path

import pytest

from ops.publish import File, PublishError, Uploader, find_photos
from schemas import codec
from schemas.events import PhotoUploaded
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


def test_of_a_phone_s_export_the_photos_are_found(tmp_path):
    """As a Mac, an iPhone and a takeout archive write it."""
    for name in (
        "DCIM/IMG_0001.HEIC",
        "DCIM/IMG_0001.MOV",
        "DCIM/IMG_0001.AAE",
        "DCIM/._IMG_0001.HEIC",
        "DCIM/.DS_Store",
        "DCIM/IMG_0002.heif",
        "DCIM/IMG_0003.JPG",
        "DCIM/IMG_0003.JPG.json",
        "DCIM/VID_0004.mp4",
        ".thumbnails/IMG_0003.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_photos([tmp_path])
    assert [file.name for file in found.photos] == ["DCIM/IMG_0001.HEIC", "DCIM/IMG_0002.heif", "DCIM/IMG_0003.JPG"]
    assert found.skipped == {
        ".mov": 1, ".aae": 1, ".json": 1, ".mp4": 1, ".DS_Store": 1, "hidden .heic": 1, "hidden .jpg": 1
    }  # fmt: skip


def test_a_heic_is_published_as_one(uploader, tmp_path):
    (tmp_path / "IMG_1.HEIC").write_bytes(b"heic")
    event = uploader.upload(File(tmp_path / "IMG_1.HEIC", "IMG_1.HEIC"))
    assert event.media_type == "image/heic"
    assert event.object_uri.endswith(".heic")


NAMES = [
    "фото.jpg",
    "写真 1.jpg",
    "صورة.jpg",
    "תמונה.jpg",
    "ภาพ.jpg",
    "फ़ोटो.jpg",
    "📷.jpg",
    "u\u0308.jpg",
    "a\nb.jpg",
    "%2e#?.jpg",
]


@pytest.mark.parametrize("name", [*NAMES, os.fsdecode(b"caf\xe9.jpg")])
def test_a_name_may_be_in_any_script_or_in_none(uploader, producer, tmp_path, name):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / name).write_bytes(b"a photo")
    [file] = find_photos([folder]).photos
    event = uploader.upload(file)
    assert Path(event.object_uri.removeprefix("file://")).read_bytes() == b"a photo"
    assert codec.decode(codec.encode(event), PhotoUploaded) == event
    assert file.name == (name if name in NAMES else r"caf\xe9.jpg")
    (folder / name).write_bytes(b"")
    with pytest.raises(PublishError) as caught:
        uploader.upload(file)
    assert str(caught.value).encode()


def test_what_was_asked_for_by_name_is_published_though_it_is_hidden(tmp_path):
    (tmp_path / ".photo.jpg").touch()
    assert [file.name for file in find_photos([tmp_path / ".photo.jpg"]).photos] == [".photo.jpg"]


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
