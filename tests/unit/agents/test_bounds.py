"""The bounds that PhotoUploaded.avsc documents."""

from datetime import UTC, datetime, timedelta

import pytest

from agents.bounds import check, check_attributable, within_bounds
from schemas import codec
from schemas.errors import Reason, Rejected
from schemas.events import PhotoUploaded
from tests.support.builders import NOON, uploaded

pytestmark = pytest.mark.unit

TRACE = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"

WRONG = [
    ("event_id", "e" * 129, "has 129 characters, at most 128"),
    ("photo_id", "p" * 129, "has 129 characters, at most 128"),
    ("owner_id", "o" * 129, "has 129 characters, at most 128"),
    ("event_id", "a\nb", "contains a control character"),
    ("photo_id", "a\0b", "contains a control character"),
    ("owner_id", "a\x85b", "contains a control character"),
    ("object_uri", "", "is empty"),
    ("object_uri", "s3://b/" + "k" * 2042, "has 2049 characters, at most 2048"),
    ("object_uri", "s3://b/a\tb", "contains a control character"),
    ("media_type", "m" * 257, "has 257 characters, at most 256"),
    ("source", "", "is empty"),
    ("source", "s" * 65, "has 65 characters, at most 64"),
    ("source", "a\x7fb", "contains a control character"),
    ("size_bytes", 0, "is 0, at least 1"),
    ("size_bytes", -5, "is -5, at least 1"),
    ("captured_at", datetime(1899, 12, 31, 23, 59, tzinfo=UTC), "is 1899-12-31, outside 1900 to 2299"),
    ("captured_at", datetime(2300, 1, 1, tzinfo=UTC), "is 2300-01-01, outside 1900 to 2299"),
    ("uploaded_at", datetime(1, 1, 1, tzinfo=UTC), "is 0001-01-01, before 1900"),
    ("uploaded_at", NOON + timedelta(days=1, seconds=1), "more than a day after the broker got the event"),
    ("traceparent", "", "is not of the form"),
    ("traceparent", f"00-{TRACE}-1", "is not of the form"),
    ("traceparent", f"ff-{TRACE}-01", "is not of the form"),
    ("traceparent", f"00-{TRACE}-01-more", "is not of the form"),
    ("traceparent", f"00-{TRACE.upper()}-01", "is not of the form"),
    ("traceparent", f"00-{'0' * 32}-b7ad6b7169203331-01", "is not of the form"),
    ("traceparent", f"cc-{TRACE}-01-" + "x" * 300, "is not of the form"),
]

RIGHT = [
    ("event_id", "e" * 128),
    ("photo_id", "ein Foto / von—gestern 家族"),
    ("photo_id", "👩‍👩‍👧"),  # holds zero-width joiners: not printable to Python, and fine
    ("object_uri", "s3://b/" + "k" * 2041),
    ("media_type", ""),
    ("size_bytes", 2**62),
    ("captured_at", None),
    ("captured_at", datetime(1900, 1, 1, tzinfo=UTC)),
    ("captured_at", datetime(2299, 12, 31, tzinfo=UTC)),
    ("uploaded_at", NOON + timedelta(hours=23)),
    ("traceparent", None),
    ("traceparent", f"00-{TRACE}-01"),
    ("traceparent", f"cc-{TRACE}-01-what-the-future-brings"),
]


@pytest.mark.parametrize(("field", "value", "words"), WRONG)
def test_a_field_out_of_bounds_is_named_with_what_is_wrong(field, value, words):
    with pytest.raises(Rejected) as caught:
        check(uploaded(**{field: value}), NOON)
    assert caught.value.reason is Reason.INVALID_EVENT
    assert caught.value.detail.startswith(f"{field} ")
    assert words in caught.value.detail


@pytest.mark.parametrize(("field", "value"), RIGHT)
def test_a_field_within_bounds_is_accepted(field, value):
    check(uploaded(**{field: value}), NOON)


@pytest.mark.parametrize("field", ["owner_id", "photo_id", "event_id"])
@pytest.mark.parametrize("value", ["", "x" * 1025])
def test_without_an_id_nobody_can_say_whose_event_it_is(field, value):
    with pytest.raises(Rejected) as caught:
        check_attributable(uploaded(**{field: value}))
    assert caught.value.detail.startswith(field)


def test_an_id_that_is_only_too_long_is_attributable():
    check_attributable(uploaded(owner_id="o" * 200))


@pytest.mark.parametrize(("field", "value", "_words"), [case for case in WRONG if not case[0].endswith("_id")])
def test_what_was_refused_is_brought_within_bounds_to_be_stored(field, value, _words):
    kept = within_bounds(uploaded(**{field: value}), NOON)
    if field == "size_bytes":
        assert kept.size_bytes == 0
        return
    if field in ("object_uri", "source"):
        assert len(getattr(kept, field)) <= len(value)
        value = getattr(kept, field)
        if not value or not value.isprintable():
            return  # short enough to store, which is all that matters
    check(kept, NOON)


def test_bringing_within_bounds_changes_nothing_that_is():
    assert within_bounds(uploaded(), NOON) == uploaded()


def test_nothing_that_avro_can_carry_escapes_the_bounds():
    """The largest refused event still fits a record: 3 ids, a uri, and little more."""
    huge = "é" * 100_000
    event = uploaded(object_uri=huge, media_type=huge, source=huge, traceparent=huge)
    assert len(codec.encode(within_bounds(event, NOON))) < 10_000
    assert codec.decode(codec.encode(event), PhotoUploaded) == event
