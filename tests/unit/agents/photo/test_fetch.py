"""Reading objects: through obstore, from real folders and a real HTTP server."""

import asyncio
import hashlib
import os

import pytest

from agents.photo.fetch import Objects, Root
from schemas import metrics
from schemas.errors import Reason, Rejected, StrangeWorld, Unavailable
from tests.support.batches import Counted
from tests.support.object_server import object_server

pytestmark = pytest.mark.unit

PHOTO = bytes(range(256)) * 20_000  # 5 MB: several chunks


@pytest.fixture
def folder(tmp_path):
    """A root with a photo in it, and a secret beside it."""
    root = tmp_path / "photos"
    (root / "2026").mkdir(parents=True)
    (root / "2026" / "a b.jpg").write_bytes(PHOTO)
    (tmp_path / "photos-private").mkdir()
    for place in ("secret.jpg", "photos-private/secret.jpg"):
        (tmp_path / place).write_bytes(PHOTO)
    return root


def objects(*roots, max_object_bytes=1 << 30, measure=None):
    return Objects(roots, max_object_bytes=max_object_bytes, measure=measure or Counted())


async def reading(store, uri, content=PHOTO, **fields):
    root, location = store.find(uri)
    expected = {"size_bytes": len(content), "sha256": hashlib.sha256(content).digest()} | fields
    return await store.read(root, location, **expected)


async def refused(store, uri, content=PHOTO, **fields):
    with pytest.raises(Rejected) as caught:
        await reading(store, uri, content, **fields)
    return caught.value.reason, caught.value.detail


async def test_an_object_is_read_whole_and_measured(folder):
    measure = Counted()
    assert await reading(objects(folder.as_uri(), measure=measure), f"{folder.as_uri()}/2026/a%20b.jpg") == PHOTO
    assert measure.counts == {(metrics.FETCHED.name,): len(PHOTO)}
    [(name, seconds, _)] = measure.observed
    assert name == metrics.FETCH.name
    assert 0 < seconds < 60


async def test_a_root_may_end_in_a_slash(folder):
    assert await reading(objects(f"{folder.as_uri()}/"), f"{folder.as_uri()}/2026/a b.jpg") == PHOTO


async def test_what_lies_outside_every_root_is_not_allowed(folder):
    store = objects(folder.as_uri(), f"{folder.as_uri()}/2026")
    for place in ("secret.jpg", "photos-private/secret.jpg"):
        reason, _ = await refused(store, (folder.parent / place).as_uri())
        assert reason is Reason.OBJECT_NOT_ALLOWED


@pytest.mark.parametrize("way", ["../secret.jpg", "%2e%2e/secret.jpg", "..%2fsecret.jpg", "2026/../../secret.jpg"])
async def test_no_way_leads_up(folder, way):
    reason, _ = await refused(objects(folder.as_uri()), f"{folder.as_uri()}/{way}")
    assert reason is Reason.OBJECT_NOT_ALLOWED


async def test_percent_encoding_twice_names_a_file_that_is_not_there(folder):
    reason, _ = await refused(objects(folder.as_uri()), f"{folder.as_uri()}/%252e%252e/secret.jpg")
    assert reason is Reason.OBJECT_MISSING


@pytest.mark.parametrize("link", ["file", "folder"])
async def test_a_link_out_of_the_root_is_not_followed(folder, link):
    if link == "file":
        (folder / "link.jpg").symlink_to(folder.parent / "secret.jpg")
        uri = f"{folder.as_uri()}/link.jpg"
    else:
        (folder / "out").symlink_to(folder.parent / "photos-private")
        uri = f"{folder.as_uri()}/out/secret.jpg"
    assert await refused(objects(folder.as_uri()), uri) == (
        Reason.OBJECT_NOT_ALLOWED,
        "object_uri is a link that leads out of its object root",
    )


async def test_a_link_within_the_root_is_followed_and_so_is_a_root_that_is_a_link(folder):
    (folder / "link.jpg").symlink_to("2026/a b.jpg")
    assert await reading(objects(folder.as_uri()), f"{folder.as_uri()}/link.jpg") == PHOTO
    other = folder.parent / "other"
    other.symlink_to(folder)
    assert await reading(objects(other.as_uri()), f"{other.as_uri()}/2026/a b.jpg") == PHOTO


async def test_links_in_a_circle_lead_nowhere(folder):
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    assert (await refused(objects(folder.as_uri()), f"{folder.as_uri()}/one"))[0] is Reason.OBJECT_MISSING


@pytest.mark.parametrize("name", ["nothing.jpg", "2026/a b.jpg/inside", "x" * 300])
async def test_what_is_not_there_is_missing(folder, name):
    reason, detail = await refused(objects(folder.as_uri()), f"{folder.as_uri()}/{name}")
    assert reason is Reason.OBJECT_MISSING
    assert str(folder) not in detail


async def test_what_is_no_file_is_not_opened(folder):
    os.mkfifo(folder / "pipe")  # reading it would never end
    for name in ("pipe", "2026"):
        reason, _ = await refused(objects(folder.as_uri()), f"{folder.as_uri()}/{name}")
        assert reason is Reason.OBJECT_NOT_ALLOWED


async def test_a_name_that_obstore_cannot_express_is_not_waited_for(folder):
    (folder / "a.jpg#1").write_bytes(PHOTO)
    assert (await refused(objects(folder.as_uri()), f"{folder.as_uri()}/a.jpg%231"))[0] is Reason.OBJECT_NOT_ALLOWED


async def test_a_root_that_vanishes_is_unavailable(folder):
    store = objects(folder.as_uri())
    folder.rename(folder.parent / "elsewhere")
    with pytest.raises(Unavailable):
        await reading(store, f"{folder.as_uri()}/2026/a b.jpg")


async def test_other_bytes_than_announced_are_told_with_both_digests(folder):
    reason, detail = await refused(objects(folder.as_uri()), f"{folder.as_uri()}/2026/a b.jpg", sha256=b"\xab" * 32)
    assert reason is Reason.WRONG_SHA256
    assert "abababababab" in detail
    assert hashlib.sha256(PHOTO).hexdigest()[:12] in detail


async def test_another_size_and_other_bytes_are_the_wrong_bytes(folder):
    content = b"what was meant to be there"
    reason, _ = await refused(objects(folder.as_uri()), f"{folder.as_uri()}/2026/a b.jpg", content)
    assert reason is Reason.WRONG_SHA256


async def test_the_right_bytes_and_a_wrong_size_are_an_invalid_event(folder):
    assert await refused(objects(folder.as_uri()), f"{folder.as_uri()}/2026/a b.jpg", size_bytes=3) == (
        Reason.INVALID_EVENT,
        f"size_bytes is 3, the object has {len(PHOTO)} bytes",
    )


async def test_an_object_over_the_limit_is_not_read(folder):
    measure = Counted()
    store = objects(folder.as_uri(), max_object_bytes=len(PHOTO) - 1, measure=measure)
    reason, detail = await refused(store, f"{folder.as_uri()}/2026/a b.jpg")
    assert reason is Reason.OBJECT_TOO_LARGE
    assert detail == f"the object has {len(PHOTO)} bytes, at most {len(PHOTO) - 1} are read"
    assert measure.counts == {}


async def test_an_object_at_the_limit_is_read(folder):
    store = objects(folder.as_uri(), max_object_bytes=len(PHOTO))
    assert await reading(store, f"{folder.as_uri()}/2026/a b.jpg") == PHOTO


async def test_the_deepest_root_has_the_object(folder):
    deep = f"{folder.as_uri()}/2026"
    root, _ = objects(folder.as_uri(), deep).find(f"{deep}/a b.jpg")
    assert root.name == deep


@pytest.mark.parametrize(
    "root",
    [
        *("photos", "/srv/photos", "file:///there/is/no/such/folder", "http://example.com/photos", "az://container"),
        *("s3://", "https://user:secret@example.com/photos", "file:///srv/../etc", "ftp://host/photos"),
    ],
)
def test_a_root_that_cannot_be_one_is_told_in_one_line(root, monkeypatch):
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StrangeWorld) as caught:
        Root(root)
    assert str(caught.value).startswith("SAFELIGHT_OBJECT_ROOTS: ")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "root", ["s3://bucket", "s3://bucket/folder", "gs://bucket/folder", "https://example.com/photos"]
)
def test_a_root_is_not_called_when_it_is_opened(root):
    assert Root(root).name == root


@pytest.fixture
def web():
    with object_server(PHOTO) as server:
        yield server


async def test_an_object_is_read_over_http_by_its_encoded_name(web):
    assert await reading(objects(web.url), f"{web.url}/a%20b%23.jpg") == PHOTO
    assert web.asked == ["/photos/a%20b%23.jpg"]


@pytest.mark.parametrize("status", [404, 410])
async def test_what_the_server_does_not_have_is_missing(web, status):
    web.statuses["/photos/a.jpg"] = status
    assert (await refused(objects(web.url), f"{web.url}/a.jpg"))[0] is Reason.OBJECT_MISSING


@pytest.mark.parametrize("status", [400, 401, 408, 429, 500, 502, 503])
async def test_trouble_of_the_server_is_unavailable_and_tried_once(web, status):
    web.statuses["/photos/a.jpg"] = status
    with pytest.raises(Unavailable) as caught:
        await reading(objects(web.url), f"{web.url}/a.jpg")
    assert str(caught.value) == f"{web.url} is unavailable: HTTP {status}"
    assert web.asked == ["/photos/a.jpg"]


async def test_no_connection_is_unavailable():
    store = objects("http://127.0.0.1:9/photos")
    with pytest.raises(Unavailable, match=r"no proper answer$"):
        await reading(store, "http://127.0.0.1:9/photos/a.jpg")


async def test_an_answer_that_breaks_off_is_unavailable(web):
    web.broken.add("/photos/a.jpg")
    with pytest.raises(Unavailable):
        await reading(objects(web.url), f"{web.url}/a.jpg")


async def test_a_server_that_refuses_everything_is_unavailable(web):
    web.statuses["/photos/a.jpg"] = 403
    with pytest.raises(Unavailable, match="grant safelight the right"):
        await reading(objects(web.url), f"{web.url}/a.jpg")


async def test_a_server_that_refuses_one_object_and_serves_others_has_something_against_this_one(web):
    web.statuses["/photos/forbidden.jpg"] = 403
    store = objects(web.url)
    assert await reading(store, f"{web.url}/a.jpg") == PHOTO
    assert (await refused(store, f"{web.url}/forbidden.jpg"))[0] is Reason.OBJECT_NOT_ALLOWED


async def test_a_server_that_no_longer_serves_what_it_did_is_unavailable(web):
    store = objects(web.url)
    await reading(store, f"{web.url}/a.jpg")
    web.statuses |= {"/photos/a.jpg": 403, "/photos/b.jpg": 403}
    with pytest.raises(Unavailable):
        await reading(store, f"{web.url}/b.jpg")


async def test_many_objects_are_read_at_once(web):
    store = objects(web.url)
    read = await asyncio.gather(*(reading(store, f"{web.url}/{n}.jpg") for n in range(10)))
    assert all(each == PHOTO for each in read)
