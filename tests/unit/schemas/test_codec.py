"""Wire format: what goes in comes out, and what is no event says so."""

import pytest

from schemas import codec, registry
from schemas.errors import Reason, Unreadable
from schemas.events import PhotoAdmitted, PhotoUploaded
from tests.support import builders

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("event", builders.EVERY_KIND, ids=lambda event: type(event).__name__)
def test_round_trip(event):
    assert codec.decode(codec.encode(event), type(event)) == event


def test_header_is_a_zero_byte_and_the_schema_id():
    number = registry.current_ids()["PhotoUploaded"]
    assert codec.encode(builders.uploaded())[:5] == b"\0" + number.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "zero byte"),
        (b"{}", "zero byte"),
        (b'{"event_id": "json"}', "zero byte"),
        (b"\0\0\0\x03\xe7rest", "schema id 999 is not in schemas/ids.json"),
        (codec.encode(builders.admitted()), "a PhotoAdmitted, where PhotoUploaded belongs"),
        (codec.encode(builders.uploaded())[:-70], "the bytes are not a PhotoUploaded"),
        (codec.encode(builders.uploaded()) + b"xyz", "3 bytes are left"),
    ],
    ids=["empty", "short", "json", "unknown id", "other record", "cut short", "too long"],
)
def test_unreadable_bytes_say_why(data, says):
    with pytest.raises(Unreadable, match=says) as raised:
        codec.decode(data, PhotoUploaded)
    assert raised.value.reason is Reason.UNREADABLE_EVENT


def test_a_value_that_does_not_fit_its_type_is_refused():
    with pytest.raises(ValueError, match="size"):
        codec.encode(builders.uploaded(content_sha256=b"short"))


@pytest.fixture
def entries(monkeypatch):
    """Sets what schemas/ids.json says."""

    def forget():
        for remembered in (registry.schemas_by_id, registry.current_ids, codec._forms):
            remembered.cache_clear()

    def entries(*entries):
        monkeypatch.setattr(registry, "_entries", lambda: entries)
        forget()

    yield entries
    monkeypatch.undo()
    forget()


def test_a_reader_resolves_by_the_writers_schema(entries):
    """An event written by an older schema (without traceparent) is read by the newer one, which has a default for it."""
    older = registry.spelled_out("PhotoAdmitted")
    older["fields"] = [field for field in older["fields"] if field["name"] != "traceparent"]
    first, second = registry.with_new_ids([{"id": 1, "schema": older}], ["PhotoAdmitted"])
    entries(first)
    old = codec.encode(builders.admitted())
    entries(first, second)
    current = codec.encode(builders.admitted())
    assert old[4] == 1
    assert current[4] == 2
    assert codec.decode(old, PhotoAdmitted) == builders.admitted(traceparent=None)
    assert codec.decode(current, PhotoAdmitted) == builders.admitted()
