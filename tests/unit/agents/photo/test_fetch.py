"""Reading objects: the limit, the digest, which root."""

import hashlib

import pytest

from schemas import metrics
from schemas.errors import Reason, StrangeWorld
from tests.support.batches import Counted
from tests.support.objects import PHOTO

pytestmark = pytest.mark.unit


async def test_an_object_is_read_whole_and_measured(folder, objects):
    measure = Counted()
    assert await objects(folder.as_uri(), measure=measure).read(f"{folder.as_uri()}/2026/a%20b.jpg") == PHOTO
    assert measure.counts == {(metrics.FETCHED.name,): len(PHOTO)}
    [(name, seconds, _)] = measure.observed
    assert name == metrics.FETCH.name
    assert 0 < seconds < 60


async def test_a_root_may_end_in_a_slash(folder, objects):
    assert await objects(f"{folder.as_uri()}/").read(f"{folder.as_uri()}/2026/a b.jpg") == PHOTO


async def test_what_lies_outside_every_root_is_not_allowed(folder, objects):
    store = objects(folder.as_uri(), f"{folder.as_uri()}/2026")
    for place in ("secret.jpg", "photos-private/secret.jpg"):
        reason, _ = await store.rejection((folder.parent / place).as_uri())
        assert reason is Reason.OBJECT_NOT_ALLOWED


async def test_other_bytes_than_announced_are_told_with_both_digests(folder, objects):
    reason, detail = await objects(folder.as_uri()).rejection(f"{folder.as_uri()}/2026/a b.jpg", sha256=b"\xab" * 32)
    assert reason is Reason.WRONG_SHA256
    assert "abababababab" in detail
    assert hashlib.sha256(PHOTO).hexdigest()[:12] in detail


async def test_another_size_and_other_bytes_are_the_wrong_bytes(folder, objects):
    content = b"what was meant to be there"
    reason, _ = await objects(folder.as_uri()).rejection(f"{folder.as_uri()}/2026/a b.jpg", content)
    assert reason is Reason.WRONG_SHA256


async def test_the_right_bytes_and_a_wrong_size_are_an_invalid_event(folder, objects):
    assert await objects(folder.as_uri()).rejection(f"{folder.as_uri()}/2026/a b.jpg", size_bytes=3) == (
        Reason.INVALID_EVENT,
        f"size_bytes is 3, the object has {len(PHOTO)} bytes",
    )


async def test_an_object_over_the_limit_is_not_read(folder, objects):
    measure = Counted()
    store = objects(folder.as_uri(), max_object_bytes=len(PHOTO) - 1, measure=measure)
    reason, detail = await store.rejection(f"{folder.as_uri()}/2026/a b.jpg")
    assert reason is Reason.OBJECT_TOO_LARGE
    assert detail == f"the object has {len(PHOTO)} bytes, at most {len(PHOTO) - 1} are read"
    assert measure.counts == {}


async def test_an_object_at_the_limit_is_read(folder, objects):
    store = objects(folder.as_uri(), max_object_bytes=len(PHOTO))
    assert await store.read(f"{folder.as_uri()}/2026/a b.jpg") == PHOTO


async def test_the_deepest_root_has_the_object(folder, objects):
    deep = f"{folder.as_uri()}/2026"
    root, _ = objects(folder.as_uri(), deep).find(f"{deep}/a b.jpg")
    assert root.name == deep


async def test_a_private_root_is_one_of_the_roots_whatever_its_last_slash(folder, objects):
    objects(folder.as_uri(), "http://127.0.0.1:9/photos", private_roots=["http://127.0.0.1:9/photos/"])
    with pytest.raises(StrangeWorld) as caught:
        objects(folder.as_uri(), private_roots=["https://10.0.0.1/photos"])
    assert str(caught.value) == (
        "SAFELIGHT_PRIVATE_ROOTS: https://10.0.0.1/photos is none of SAFELIGHT_OBJECT_ROOTS; list it there too, or nowhere"
    )


async def test_a_private_root_that_is_no_url_is_told_by_its_setting(folder, objects):
    with pytest.raises(StrangeWorld, match=r"^SAFELIGHT_PRIVATE_ROOTS: a root ") as caught:
        objects(folder.as_uri(), private_roots=["https://user:secret@10.0.0.1/photos"])
    assert "secret" not in str(caught.value)
