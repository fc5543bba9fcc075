"""s3 roots through obstore, from a server that misbehaves; tests/integration/test_object_roots.py has one that behaves."""

import asyncio
import traceback
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from agents.photo.bucket import ENDPOINTS
from agents.photo.store import Patience
from schemas.errors import Reason, Unavailable
from tests.support.certificate import Certificate
from tests.support.object_server import object_server
from tests.support.objects import PHOTO

pytestmark = pytest.mark.unit

ROOT = "s3://bucket/folder"
KEY = "/bucket/folder/a.jpg"


@pytest.fixture(autouse=True)
def environment(monkeypatch, web):
    """Keys, and the server as the endpoint."""
    for name in ENDPOINTS["s3"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{web.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "our-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "our-secret-key")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "our-session-token")
    return monkeypatch


@pytest.fixture
def bucket(objects):
    """A Reader of the root."""
    return objects(ROOT, private_roots=[ROOT])


async def test_an_event_chooses_only_the_key(bucket, web):
    for uri in (
        "s3://other/folder/a.jpg",
        "s3://bucket/other/a.jpg",
        "s3://bucket:80/folder/a.jpg",
        "s3://bucket@169.254.169.254/folder/a.jpg",
        "s3://bucket.169.254.169.254/folder/a.jpg",
        "s3://bucket/folder/../../other/a.jpg",
        "s3://bucket/folder/%2e%2e/%2e%2e/other/a.jpg",
        "s3://bucket/folder/a.jpg?endpoint=http://169.254.169.254",
        f"https://127.0.0.1:{web.server_port}/bucket/folder/a.jpg",
        f"http://127.0.0.1:{web.server_port}/bucket/folder/a.jpg",
    ):
        assert (await bucket.rejection(uri))[0] is Reason.OBJECT_NOT_ALLOWED
    assert web.asked == []
    for name in (
        "http:%2F169.254.169.254%2Fa",
        "@169.254.169.254",
        "%3Fendpoint=x%23y",
        "%252e%252e",
        "169.254.169.254:80",
    ):
        assert await bucket.read(f"{ROOT}/{name}") == PHOTO
    assert [heard["Host"] for heard in web.heard] == [f"127.0.0.1:{web.server_port}"] * 5
    assert all(path.startswith("/bucket/folder/") for path in web.asked)
    assert web.asked[3] == "/bucket/folder/%252e%252e"


@pytest.mark.parametrize("status", [404, 410])
async def test_what_the_store_does_not_have_is_missing(bucket, web, status):
    web.statuses[KEY] = status
    assert (await bucket.rejection(f"{ROOT}/a.jpg"))[0] is Reason.OBJECT_MISSING


@pytest.mark.parametrize(
    "name",
    [
        "<Code>NoSuchBucket<%2FCode>",
        "<Code>KeyTooLongError<%2FCode>",
        "Received redirect without LOCATION",
        "Server returned non-2xx status code: 503",
        "  Debug source:   status: 503,",
    ],
)
async def test_a_key_that_imitates_an_answer_is_only_a_key(bucket, web, name):
    web.statuses = SimpleNamespace(get=lambda *_: 404)
    assert (await bucket.rejection(f"{ROOT}/{name}"))[0] is Reason.OBJECT_MISSING


@pytest.mark.parametrize("status", [400, 401, 408, 429, 500, 502, 503])
async def test_trouble_of_the_store_is_unavailable_and_tried_once(bucket, web, status):
    web.statuses[KEY] = status
    with pytest.raises(Unavailable) as caught:
        await bucket.read(f"{ROOT}/a.jpg")
    assert str(caught.value) == f"{ROOT} is unavailable: HTTP {status}"
    assert web.asked == [KEY]


async def test_a_store_that_refuses_everything_is_unavailable(bucket, web):
    web.statuses[KEY] = 403
    with pytest.raises(Unavailable, match="grant safelight the right"):
        await bucket.read(f"{ROOT}/a.jpg")


@pytest.mark.parametrize("status", [400, 403])
async def test_a_store_that_refuses_one_object_and_serves_others_has_something_against_this_one(bucket, web, status):
    web.statuses["/bucket/folder/bad.jpg"] = status
    await bucket.read(f"{ROOT}/a.jpg")
    assert (await bucket.rejection(f"{ROOT}/bad.jpg"))[0] is Reason.OBJECT_NOT_ALLOWED


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchBucket", None),
        (404, "ContainerNotFound", None),
        (404, "NoSuchKey", Reason.OBJECT_MISSING),
        (400, "KeyTooLongError", Reason.OBJECT_NOT_ALLOWED),
        (400, "XMinioInvalidObjectName", Reason.OBJECT_NOT_ALLOWED),
    ],
)
async def test_what_the_store_says_is_heard(bucket, web, status, code, expected):
    web.statuses[KEY] = status
    web.page = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()
    if expected:
        assert (await bucket.rejection(f"{ROOT}/a.jpg"))[0] is expected
    else:
        with pytest.raises(Unavailable, match="there is no such bucket"):
            await bucket.read(f"{ROOT}/a.jpg")


async def test_a_bucket_of_another_region_is_told(bucket, web):
    web.statuses[KEY] = 301  # as S3 does: it does not say whereto
    with pytest.raises(Unavailable, match="correct AWS_REGION"):
        await bucket.read(f"{ROOT}/a.jpg")


@pytest.mark.parametrize("bound", ["silence", "whole"])
async def test_a_store_that_stalls_is_unavailable(objects, web, bound):
    web.stalled.add(KEY)
    store = objects(ROOT, private_roots=[ROOT], patience=Patience(**{bound: timedelta(seconds=0.2)}))
    with pytest.raises(Unavailable, match=r"no proper answer$"):
        await store.read(f"{ROOT}/a.jpg")


async def test_an_answer_that_breaks_off_is_unavailable(bucket, web):
    web.broken.add(KEY)
    with pytest.raises(Unavailable):
        await bucket.read(f"{ROOT}/a.jpg")


async def test_what_a_store_sends_beyond_what_it_announced_is_not_read(bucket, web):
    web.announced[KEY] = 1000
    assert await bucket.read(f"{ROOT}/a.jpg", PHOTO[:1000]) == PHOTO[:1000]


async def test_an_object_that_says_it_is_too_large_is_not_read(objects, web):
    web.stalled.add(KEY)
    store = objects(ROOT, private_roots=[ROOT], max_object_bytes=len(PHOTO) - 1)
    assert (await store.rejection(f"{ROOT}/a.jpg"))[0] is Reason.OBJECT_TOO_LARGE


async def test_many_objects_are_read_at_once(bucket):
    read = await asyncio.gather(*(bucket.read(f"{ROOT}/{n}.jpg") for n in range(10)))
    assert all(each == PHOTO for each in read)


async def test_a_store_that_redirects_takes_no_key_of_ours_along(bucket, web):
    # obstore follows it and cannot be told not to: the store is trusted, and what it redirects to gets nothing to use.
    with object_server(PHOTO) as other:
        web.statuses[KEY] = 307
        web.headers[KEY] = {"Location": f"{other.url}/a.jpg"}
        await bucket.read(f"{ROOT}/a.jpg")
    [heard] = other.heard
    assert "Authorization" not in heard
    # A session token does go along; it is worth nothing without the secret key, which never leaves.
    assert not any(secret in str(heard) for secret in ("our-key-id", "our-secret-key"))


@pytest.mark.parametrize("trusted", [True, False])
async def test_an_endpoint_is_trusted_by_its_certificate(trusted, tmp_path, objects, environment):
    certificate = Certificate(tmp_path)
    if trusted:
        environment.setenv("SSL_CERT_FILE", str(certificate.authority))
    with object_server(PHOTO, certificate=certificate) as server:
        environment.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{server.server_port}")
        store = objects(ROOT, private_roots=[ROOT])
        if trusted:
            assert await store.read(f"{ROOT}/a.jpg") == PHOTO
        else:
            with pytest.raises(Unavailable, match=r"no proper answer$"):
                await store.read(f"{ROOT}/a.jpg")
            assert server.asked == []


async def test_an_endpoint_whose_name_leads_into_the_private_network_is_not_called(objects, web, environment):
    environment.setenv("AWS_ENDPOINT_URL", f"https://localhost:{web.server_port}")
    with pytest.raises(Unavailable, match=r"its host resolves to .* list the root in SAFELIGHT_PRIVATE_ROOTS"):
        await objects(ROOT).read(f"{ROOT}/a.jpg")
    assert web.connections == 0


async def test_an_endpoint_whose_name_nobody_knows_is_unavailable(objects, environment):
    environment.setenv("AWS_ENDPOINT_URL", "https://minio.invalid")
    with pytest.raises(Unavailable, match="the name of its endpoint cannot be resolved"):
        await objects(ROOT).read(f"{ROOT}/a.jpg")


async def test_keys_are_in_no_error(bucket, web):
    web.page = b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
    for status in (403, 500):
        web.statuses[KEY] = status
        with pytest.raises(Unavailable) as caught:
            await bucket.read(f"{ROOT}/a.jpg")
        said = "".join(traceback.format_exception(caught.value))
        assert not any(secret in said for secret in ("our-key-id", "our-secret-key", "our-session-token"))


@pytest.fixture(params=["gs", "az"])
def other_cloud(request, environment, web, objects):
    """A Reader of a root of another cloud, and the root."""
    here = f"http://127.0.0.1:{web.server_port}"
    variables = {
        "gs": {"GOOGLE_BASE_URL": here, "GOOGLE_SKIP_SIGNATURE": "true"},
        "az": {
            "AZURE_STORAGE_ENDPOINT": here,
            "AZURE_STORAGE_ACCOUNT_NAME": "account",
            "AZURE_STORAGE_ACCOUNT_KEY": "b3VyLXNlY3JldC1rZXk=",
        },
    }
    for name, value in variables[request.param].items():
        environment.setenv(name, value)
    root = f"{request.param}://bucket/folder"
    return objects(root, private_roots=[root]), root


async def test_the_other_clouds_are_read_by_the_key_too(other_cloud, web):
    store, root = other_cloud
    assert await store.read(f"{root}/%C3%A9 b.jpg") == PHOTO
    assert (await store.rejection(f"{root}/../../other/a.jpg"))[0] is Reason.OBJECT_NOT_ALLOWED
    assert [unquote(path) for path in web.asked] == ["/bucket/folder/é b.jpg"]


@pytest.mark.parametrize("status", [404, 410, 403, 429, 500, 503])
async def test_the_other_clouds_are_understood_too(other_cloud, web, status):
    store, root = other_cloud
    web.statuses |= dict.fromkeys((KEY, "/bucket/folder%2Fa%2Ejpg"), status)  # Google's client encodes more
    if status in {404, 410}:
        assert (await store.rejection(f"{root}/a.jpg"))[0] is Reason.OBJECT_MISSING
    else:
        with pytest.raises(Unavailable) as caught:
            await store.read(f"{root}/a.jpg")
        assert "b3VyLXNlY3JldC1rZXk=" not in "".join(traceback.format_exception(caught.value))
