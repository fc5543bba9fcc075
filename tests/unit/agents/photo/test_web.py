"""http and https roots, from a real server that misbehaves."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from agents.photo.location import Location
from agents.photo.store import Patience
from agents.photo.web import Web
from schemas.errors import Reason, Unavailable
from tests.support.certificate import Certificate
from tests.support.object_server import object_server
from tests.support.objects import PHOTO

pytestmark = pytest.mark.unit


async def test_an_object_is_read_over_http_by_its_encoded_name(web, objects):
    assert await objects(web.url, private_roots=[web.url]).read(f"{web.url}/a%20b%23.jpg") == PHOTO
    assert web.asked == ["/photos/a%20b%23.jpg"]


@pytest.mark.parametrize("status", [404, 410])
async def test_what_the_server_does_not_have_is_missing(web, status, objects):
    web.statuses["/photos/a.jpg"] = status
    assert (await objects(web.url, private_roots=[web.url]).rejection(f"{web.url}/a.jpg"))[0] is Reason.OBJECT_MISSING


@pytest.mark.parametrize("status", [400, 401, 408, 429, 500, 502, 503])
async def test_trouble_of_the_server_is_unavailable_and_tried_once(web, status, objects):
    web.statuses["/photos/a.jpg"] = status
    with pytest.raises(Unavailable) as caught:
        await objects(web.url, private_roots=[web.url]).read(f"{web.url}/a.jpg")
    assert str(caught.value) == f"{web.url} is unavailable: HTTP {status}"
    assert web.asked == ["/photos/a.jpg"]


async def test_no_connection_is_unavailable(objects):
    down = "http://127.0.0.1:9/photos"
    store = objects(down, private_roots=[down])
    with pytest.raises(Unavailable, match=r"no connection$"):
        await store.read(f"{down}/a.jpg")


async def test_an_answer_that_breaks_off_is_unavailable(web, objects):
    web.broken.add("/photos/a.jpg")
    with pytest.raises(Unavailable):
        await objects(web.url, private_roots=[web.url]).read(f"{web.url}/a.jpg")


async def test_a_server_that_refuses_everything_is_unavailable(web, objects):
    web.statuses["/photos/a.jpg"] = 403
    with pytest.raises(Unavailable, match="grant safelight the right"):
        await objects(web.url, private_roots=[web.url]).read(f"{web.url}/a.jpg")


async def test_a_server_that_refuses_one_object_and_serves_others_has_something_against_this_one(web, objects):
    web.statuses["/photos/forbidden.jpg"] = 403
    store = objects(web.url, private_roots=[web.url])
    assert await store.read(f"{web.url}/a.jpg") == PHOTO
    assert (await store.rejection(f"{web.url}/forbidden.jpg"))[0] is Reason.OBJECT_NOT_ALLOWED


async def test_a_server_that_no_longer_serves_what_it_did_is_unavailable(web, objects):
    store = objects(web.url, private_roots=[web.url])
    await store.read(f"{web.url}/a.jpg")
    web.statuses |= {"/photos/a.jpg": 403, "/photos/b.jpg": 403}
    with pytest.raises(Unavailable):
        await store.read(f"{web.url}/b.jpg")


async def test_many_objects_are_read_at_once(web, objects):
    store = objects(web.url, private_roots=[web.url])
    read = await asyncio.gather(*(store.read(f"{web.url}/{n}.jpg") for n in range(10)))
    assert all(each == PHOTO for each in read)


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_server_is_trusted_by_its_certificate(trusted, tmp_path, monkeypatch, objects):
    certificate = Certificate(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
    with object_server(PHOTO, certificate=certificate) as web:
        store = objects(web.url, private_roots=[web.url])
        if trusted:
            assert await store.read(f"{web.url}/a.jpg") == PHOTO
        else:
            with pytest.raises(Unavailable, match=r"its certificate cannot be trusted$"):
                await store.read(f"{web.url}/a.jpg")
            assert web.asked == []


async def test_a_server_without_tls_is_unavailable(web, objects):
    root = web.url.replace("http:", "https:")
    with pytest.raises(Unavailable, match=r"no TLS connection$"):
        await objects(root, private_roots=[root]).read(f"{root}/a.jpg")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["another host", "another path", "the same root"])
async def test_no_redirect_is_followed_wherever_it_leads(web, status, place, objects):
    with object_server(PHOTO) as other:
        target = {"another host": f"{other.url}/b.jpg", "another path": "/secret/b.jpg", "the same root": "b.jpg"}[
            place
        ]
        web.statuses["/photos/a.jpg"] = status
        web.headers["/photos/a.jpg"] = {"Location": target}
        reason, detail = await objects(web.url, private_roots=[web.url]).rejection(f"{web.url}/a.jpg")
        assert reason is Reason.OBJECT_NOT_ALLOWED
        assert (
            detail
            == "object_uri redirects elsewhere, and no redirect is followed: publish the URI of the object itself"
        )
        assert web.asked == ["/photos/a.jpg"]
        assert other.connections == 0


async def test_a_name_that_resolves_to_this_machine_is_not_connected_to(web, objects):
    root = f"https://localhost:{web.server_port}/photos"
    with pytest.raises(Unavailable) as caught:
        await objects(root).read(f"{root}/a.jpg")
    assert caught.value.detail in {
        f"its host resolves to {address}, a private, loopback or reserved address; if it lies in your own network, "
        "list the root in SAFELIGHT_PRIVATE_ROOTS"
        for address in ("127.0.0.1", "::1")
    }
    assert web.connections == 0


async def test_a_name_that_resolves_to_this_machine_is_read_where_the_root_says_so(web, objects):
    root = f"http://localhost:{web.server_port}/photos"
    assert await objects(root, private_roots=[root]).read(f"{root}/a.jpg") == PHOTO


class Names:
    """A resolver with one answer after the other."""

    def __init__(self, *addresses):
        self.addresses = list(addresses)

    async def resolve(self, host, port=0, family=0):
        address = self.addresses.pop(0)
        return [{"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}]

    async def close(self):
        pass


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(web):
    # The name exists nowhere: resolved a second time, by whoever connects, it would lead to no connection, or to another place.
    names = Names("127.0.0.1", "169.254.169.254")
    location = Location.parse(f"http://photos.invalid:{web.server_port}/photos/a.jpg")
    store = Web(location, name="root", private=True, patience=Patience(), resolver=names)
    async with store.open(location) as found:
        assert found.size_bytes == len(PHOTO)
    await store.close()
    assert names.addresses == ["169.254.169.254"]


async def test_a_name_that_comes_to_mean_another_place_is_not_followed_there(web):
    location = Location.parse(f"http://photos.invalid:{web.server_port}/photos/a.jpg")
    store = Web(location, name="root", private=True, patience=Patience(), resolver=Names("169.254.169.254"))
    with pytest.raises(Unavailable, match=r"169\.254\.169\.254, a link-local address"):
        async with store.open(location):
            pass
    await store.close()
    assert web.connections == 0


async def test_an_event_chooses_only_what_lies_under_the_root(web, objects):
    store = objects(web.url, private_roots=[web.url])
    for uri in (
        "http://127.0.0.1:9/photos/a.jpg",
        f"http://localhost:{web.server_port}/photos/a.jpg",
        f"http://user@127.0.0.1:{web.server_port}/photos/a.jpg",
        f"https://127.0.0.1:{web.server_port}/photos/a.jpg",
        f"{web.url}/../secret.jpg",
        f"{web.url}/%2e%2e/secret.jpg",
        f"{web.url}.evil.example/a.jpg",
        "http://169.254.169.254/latest/meta-data",
    ):
        assert (await store.rejection(uri))[0] is Reason.OBJECT_NOT_ALLOWED
    await store.rejection(f"{web.url}/a%3Fb=c%23d", b"other bytes")
    assert web.asked == ["/photos/a%3Fb%3Dc%23d"]


@pytest.mark.parametrize("way", ["before the first byte", "in the middle"])
async def test_a_server_that_stalls_is_unavailable(web, way, objects):
    web.stalled.add("/photos/a.jpg")
    if way == "before the first byte":
        web.content = b""
        web.announced["/photos/a.jpg"] = 10
    store = objects(web.url, private_roots=[web.url], patience=Patience(silence=timedelta(seconds=0.2)))
    with pytest.raises(Unavailable, match=r"no answer in time$"):
        await store.read(f"{web.url}/a.jpg")


async def test_a_server_that_goes_on_for_ever_is_unavailable_after_the_whole_time(web, objects):
    web.stalled.add("/photos/a.jpg")
    store = objects(web.url, private_roots=[web.url], patience=Patience(whole=timedelta(seconds=0.2)))
    with pytest.raises(Unavailable, match=r"no answer in time$"):
        await store.read(f"{web.url}/a.jpg")


async def test_less_than_the_server_announced_is_unavailable(web, objects):
    web.announced["/photos/a.jpg"] = len(PHOTO) + 1
    with pytest.raises(Unavailable, match=r"no proper answer$"):
        await objects(web.url, private_roots=[web.url]).read(f"{web.url}/a.jpg")


async def test_what_a_server_sends_beyond_what_it_announced_is_never_taken(web, objects):
    web.announced["/photos/a.jpg"] = 1000
    store = objects(web.url, private_roots=[web.url])
    with suppress(Unavailable):  # if it came with the rest: to HTTP it is the next answer, and none that it knows
        assert await store.read(f"{web.url}/a.jpg", PHOTO[:1000]) == PHOTO[:1000]


async def test_an_object_of_unknown_size_is_read(web, objects):
    web.announced["/photos/a.jpg"] = None
    assert await objects(web.url, private_roots=[web.url]).read(f"{web.url}/a.jpg") == PHOTO


async def test_an_object_of_unknown_size_is_read_to_the_limit_and_no_further(web, objects):
    web.announced["/photos/a.jpg"] = None
    web.stalled.add("/photos/a.jpg")  # it never ends
    store = objects(web.url, private_roots=[web.url], max_object_bytes=len(PHOTO) // 4)
    assert await store.rejection(f"{web.url}/a.jpg") == (
        Reason.OBJECT_TOO_LARGE,
        f"the object has more than {len(PHOTO) // 4} bytes",
    )


async def test_an_object_that_says_it_is_too_large_is_not_read(web, objects):
    web.stalled.add("/photos/a.jpg")
    store = objects(web.url, private_roots=[web.url], max_object_bytes=len(PHOTO) - 1)
    assert (await store.rejection(f"{web.url}/a.jpg"))[0] is Reason.OBJECT_TOO_LARGE


async def test_bytes_are_asked_for_as_they_are_stored_and_nothing_is_known_of_us(web, objects):
    await objects(web.url, private_roots=[web.url]).read(f"{web.url}/a.jpg")
    [heard] = web.heard
    assert heard["Accept-Encoding"] == "identity"
    assert not {"Authorization", "Cookie", "Referer"} & heard.keys()


async def test_patience_that_the_server_asks_for_is_passed_on(web, objects):
    web.statuses = {"/photos/a.jpg": 503, "/photos/b.jpg": 429}
    web.headers = {
        "/photos/a.jpg": {"Retry-After": "7"},
        "/photos/b.jpg": {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"},
    }
    store = objects(web.url, private_roots=[web.url])
    for name, expected in (("a", timedelta(seconds=7)), ("b", None)):
        with pytest.raises(Unavailable) as caught:
            await store.read(f"{web.url}/{name}.jpg")
        assert caught.value.retry_after == expected


async def test_a_uri_too_long_for_the_server_is_the_events_fault(web, objects):
    web.statuses["/photos/a.jpg"] = 414
    assert (await objects(web.url, private_roots=[web.url]).rejection(f"{web.url}/a.jpg"))[
        0
    ] is Reason.OBJECT_NOT_ALLOWED


async def test_connections_are_used_again(web, objects):
    store = objects(web.url, private_roots=[web.url])
    for _ in range(5):
        await store.read(f"{web.url}/a.jpg")
    assert web.connections == 1
