"""file roots: nothing outside the folder is read, whatever the way."""

import asyncio
import os
import threading
from datetime import timedelta

import pytest

from agents.photo.folder import _inside
from agents.photo.store import Patience
from schemas.errors import Reason, Unavailable
from tests.support.objects import PHOTO

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("way", ["../secret.jpg", "%2e%2e/secret.jpg", "..%2fsecret.jpg", "2026/../../secret.jpg"])
async def test_no_way_leads_up(folder, way, objects):
    reason, _ = await objects(folder.as_uri()).rejection(f"{folder.as_uri()}/{way}")
    assert reason is Reason.OBJECT_NOT_ALLOWED


async def test_percent_encoding_twice_names_a_file_that_is_not_there(folder, objects):
    reason, _ = await objects(folder.as_uri()).rejection(f"{folder.as_uri()}/%252e%252e/secret.jpg")
    assert reason is Reason.OBJECT_MISSING


@pytest.mark.parametrize("link", ["file", "folder"])
async def test_a_link_out_of_the_root_is_not_followed(folder, link, objects):
    if link == "file":
        (folder / "link.jpg").symlink_to(folder.parent / "secret.jpg")
        uri = f"{folder.as_uri()}/link.jpg"
    else:
        (folder / "out").symlink_to(folder.parent / "photos-private")
        uri = f"{folder.as_uri()}/out/secret.jpg"
    assert await objects(folder.as_uri()).rejection(uri) == (
        Reason.OBJECT_NOT_ALLOWED,
        "object_uri is a link that leads out of its object root",
    )


async def test_a_link_within_the_root_is_followed_and_so_is_a_root_that_is_a_link(folder, objects):
    (folder / "link.jpg").symlink_to("2026/a b.jpg")
    assert await objects(folder.as_uri()).read(f"{folder.as_uri()}/link.jpg") == PHOTO
    other = folder.parent / "other"
    other.symlink_to(folder)
    assert await objects(other.as_uri()).read(f"{other.as_uri()}/2026/a b.jpg") == PHOTO


async def test_links_in_a_circle_lead_nowhere(folder, objects):
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    assert (await objects(folder.as_uri()).rejection(f"{folder.as_uri()}/one"))[0] is Reason.OBJECT_MISSING


@pytest.mark.parametrize("name", ["nothing.jpg", "2026/a b.jpg/inside", "x" * 300])
async def test_what_is_not_there_is_missing(folder, name, objects):
    reason, detail = await objects(folder.as_uri()).rejection(f"{folder.as_uri()}/{name}")
    assert reason is Reason.OBJECT_MISSING
    assert str(folder) not in detail


async def test_what_is_no_file_is_not_opened(folder, objects):
    os.mkfifo(folder / "pipe")  # reading it would never end
    for name in ("pipe", "2026"):
        reason, _ = await objects(folder.as_uri()).rejection(f"{folder.as_uri()}/{name}")
        assert reason is Reason.OBJECT_NOT_ALLOWED


async def test_a_name_that_obstore_cannot_express_is_not_waited_for(folder, objects):
    (folder / "a.jpg#1").write_bytes(PHOTO)
    assert (await objects(folder.as_uri()).rejection(f"{folder.as_uri()}/a.jpg%231"))[0] is Reason.OBJECT_NOT_ALLOWED


async def test_a_root_that_vanishes_is_unavailable(folder, objects):
    store = objects(folder.as_uri())
    folder.rename(folder.parent / "elsewhere")
    with pytest.raises(Unavailable):
        await store.read(f"{folder.as_uri()}/2026/a b.jpg")


async def test_a_root_that_goes_away_while_a_file_is_opened_is_unavailable(folder, objects, monkeypatch):
    def vanishing(*args):
        try:
            return _inside(*args)
        finally:
            folder.rename(folder.with_name("away"))

    monkeypatch.setattr("agents.photo.folder._inside", vanishing)
    with pytest.raises(Unavailable, match="cannot be read"):
        await objects(folder.as_uri()).read(f"{folder.as_uri()}/2026/a b.jpg")


async def test_a_root_that_was_away_for_a_moment_is_unavailable(folder, objects, monkeypatch):
    def away(*args):
        folder.rename(folder.with_name("away"))
        try:
            return _inside(*args)
        finally:
            folder.with_name("away").rename(folder)

    monkeypatch.setattr("agents.photo.folder._inside", away)
    with pytest.raises(Unavailable, match="changed meanwhile"):
        await objects(folder.as_uri()).read(f"{folder.as_uri()}/2026/a b.jpg")


@pytest.mark.parametrize("how", ["not mounted", "switched"])
async def test_another_folder_in_the_root_s_place_is_no_root(folder, objects, how):
    root = folder.with_name("root")
    if how == "switched":
        root.symlink_to(folder)
    else:
        folder.rename(root)
    reader = objects(root.as_uri())
    assert await reader.read(f"{root.as_uri()}/2026/a b.jpg") == PHOTO
    root.rename(root.with_name("away"))
    root.mkdir()
    with pytest.raises(Unavailable, match="start it again"):
        await reader.read(f"{root.as_uri()}/2026/a b.jpg")


async def test_a_mount_that_hangs_is_unavailable_and_takes_no_thread_of_others(folder, objects, monkeypatch):
    answers = threading.Event()
    monkeypatch.setattr("agents.photo.folder._inside", lambda *_: answers.wait(30))
    store = objects(folder.as_uri(), patience=Patience(silence=timedelta(seconds=0.1)))
    try:
        hanging = [store.read(f"{folder.as_uri()}/2026/a b.jpg") for _ in range(40)]
        failures = await asyncio.gather(*hanging, return_exceptions=True)
        assert {type(each) for each in failures} == {Unavailable}
        assert "does not answer within" in failures[0].detail
        assert await asyncio.to_thread(lambda: "another") == "another"
    finally:
        answers.set()
