"""s3 roots: obstore's client and a real S3 server. What a server does wrong is in tests/unit/agents/photo/test_bucket.py."""

import asyncio
import secrets
import traceback
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from agents.photo.bucket import ENDPOINTS
from ops.publish import PublishError, Uploader, find_photos
from schemas.errors import Reason, StrangeWorld, Unavailable
from tests.support.objects import PHOTO

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def environment(monkeypatch, s3):
    """What an operator of MinIO sets."""
    for name in ENDPOINTS["s3"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "our-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "our-secret-key")
    return monkeypatch


@pytest.fixture
def bucket(s3):
    """A bucket of the test's own, empty."""
    return s3.bucket()


@pytest.fixture
def reader(objects, bucket):
    """A Reader of one folder in it."""
    root = f"s3://{bucket}/in"
    return objects(root, private_roots=[root], max_object_bytes=len(PHOTO))


async def test_an_object_is_read(reader, s3, bucket):
    s3.put(bucket, "in/2026/a.jpg", PHOTO)
    assert await reader.read(f"s3://{bucket}/in/2026/a.jpg") == PHOTO


async def test_an_empty_object_is_none_that_an_event_means(reader, s3, bucket):
    s3.put(bucket, "in/a.jpg", b"")
    assert (await reader.rejection(f"s3://{bucket}/in/a.jpg"))[0] is Reason.WRONG_SHA256


async def test_a_key_that_is_not_there_is_missing(reader, bucket):
    assert await reader.rejection(f"s3://{bucket}/in/a.jpg") == (
        Reason.OBJECT_MISSING,
        "there is no object at object_uri",
    )


async def test_a_bucket_that_is_not_there_is_unavailable_and_no_photos_fault(reader, s3, bucket):
    s3.drop(bucket)
    with pytest.raises(Unavailable, match="there is no such bucket: create it, or correct the root"):
        await reader.read(f"s3://{bucket}/in/a.jpg")


async def test_other_objects_of_the_bucket_are_not_read(reader, s3, bucket):
    s3.put(bucket, "secret.jpg", PHOTO)
    for way in ("secret.jpg", "in/../secret.jpg", "in/%2e%2e/secret.jpg", "in/..%2fsecret.jpg"):
        assert (await reader.rejection(f"s3://{bucket}/{way}"))[0] is Reason.OBJECT_NOT_ALLOWED
    # Taken literally, which is a key that is not there.
    assert (await reader.rejection(f"s3://{bucket}/in/%252e%252e/secret.jpg"))[0] is Reason.OBJECT_MISSING


@pytest.mark.parametrize(
    "key",
    [
        *(
            "a b.jpg",
            " a.jpg ",
            "a+b.jpg",
            "100%.jpg",
            "%41.jpg",
            "a%2Fb.jpg",
            "%252e%252e",
            "a#b?c=d&e.jpg",
            "~!$'()*,;:@=.jpg",
        ),
        *(
            "é.jpg",
            "e\u0301.jpg",
            "写真/東京 タワー.jpg",
            "фото.jpg",
            "صورة.jpg",
            "תמונה.jpg",
            "फ़ोटो.jpg",
            "📷.jpg",
            "a.jpg#1",
        ),
        "x" * 900,
    ],
)
async def test_a_key_is_read_by_its_name_in_any_script(reader, s3, bucket, key):
    content = key.encode()
    s3.put(bucket, f"in/{key}", content)
    assert await reader.read(f"s3://{bucket}/in/{quote(key)}", content) == content
    if "%" not in key and "#" not in key and "?" not in key:  # an IRI, as many publish it
        assert await reader.read(f"s3://{bucket}/in/{key}", content) == content


async def test_a_root_has_a_name_in_any_script_too(objects, s3, bucket):
    s3.put(bucket, "写真 2026/a.jpg", PHOTO)
    for root in (f"s3://{bucket}/写真 2026", f"s3://{bucket}/{quote('写真 2026')}/"):
        assert await objects(root, private_roots=[root]).read(f"s3://{bucket}/{quote('写真 2026')}/a.jpg") == PHOTO


async def test_an_object_over_the_limit_is_not_read(reader, s3, bucket):
    s3.put(bucket, "in/a.jpg", PHOTO + b"x")
    assert await reader.rejection(f"s3://{bucket}/in/a.jpg") == (
        Reason.OBJECT_TOO_LARGE,
        f"the object has {len(PHOTO) + 1} bytes, at most {len(PHOTO)} are read",
    )


async def test_other_bytes_than_announced_are_rejected(reader, s3, bucket):
    s3.put(bucket, "in/a.jpg", PHOTO[::-1])
    assert (await reader.rejection(f"s3://{bucket}/in/a.jpg"))[0] is Reason.WRONG_SHA256


async def test_fifty_objects_are_read_at_once(reader, s3, bucket):
    contents = [secrets.token_bytes(10_000 + n) for n in range(50)]
    for n, content in enumerate(contents):
        s3.put(bucket, f"in/{n}.jpg", content)
    read = await asyncio.gather(
        *(reader.read(f"s3://{bucket}/in/{n}.jpg", content) for n, content in enumerate(contents))
    )
    assert read == contents


async def test_wrong_credentials_are_unavailable_and_in_no_error(reader, s3, bucket):
    s3.put(bucket, "in/a.jpg", PHOTO)
    with s3.knows_nobody(), pytest.raises(Unavailable, match="grant safelight the right to read there") as caught:
        await reader.read(f"s3://{bucket}/in/a.jpg")
    said = "".join(traceback.format_exception(caught.value))
    assert "our-key-id" not in said
    assert "our-secret-key" not in said
    assert await reader.read(f"s3://{bucket}/in/a.jpg") == PHOTO


async def test_credentials_that_were_right_and_are_not_any_more_are_no_photos_fault(reader, s3, bucket):
    s3.put(bucket, "in/a.jpg", PHOTO)
    await reader.read(f"s3://{bucket}/in/a.jpg")
    with s3.knows_nobody(), pytest.raises(Unavailable):
        await reader.read(f"s3://{bucket}/in/b.jpg")


async def test_what_is_uploaded_is_what_is_read(reader, s3, bucket, tmp_path):
    (tmp_path / "a b.jpg").write_bytes(PHOTO)
    published = []
    producer = SimpleNamespace(publish=published.append)
    uploader = Uploader(root=f"s3://{bucket}/in", private=True, owner_id="owner", source="test", producer=producer)
    [photo] = find_photos([tmp_path]).photos
    event = await asyncio.to_thread(uploader.upload, photo)
    assert await reader.read(event.object_uri, size_bytes=event.size_bytes, sha256=event.content_sha256) == PHOTO
    assert published == [event]
    with s3.knows_nobody(), pytest.raises(PublishError) as caught:
        await asyncio.to_thread(uploader.upload, photo)
    said = str(caught.value)
    assert said.startswith(f"cannot store into s3://{bucket}/in: ")
    assert not any(word in said for word in ("\n", "our-key-id", "our-secret-key"))
    assert published == [event]


def test_an_endpoint_on_http_is_taken_only_where_the_root_says_so(objects, bucket):
    with pytest.raises(StrangeWorld, match=r"AWS_ENDPOINT_URL is http.*SAFELIGHT_PRIVATE_ROOTS"):
        objects(f"s3://{bucket}")
