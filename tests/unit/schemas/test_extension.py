"""Events out of the bytes of others."""

import pytest

from schemas import codec
from schemas.events import PhotoAdmitted, PhotoEnriched, PhotoUploaded
from schemas.extension import Extension, numbers
from tests.contract.test_golden_events import GOLDEN
from tests.support.builders import NOON, REDRIVE, admitted, uploaded

pytestmark = pytest.mark.unit

ADDS = ("root.generation", "root.partition", "root.offset", "attempt", "fill", "admitted_at")
ADMITTED = Extension(PhotoUploaded, PhotoAdmitted, *ADDS)
ADDED = numbers(1, 3, 42, 0, 0, NOON)


@pytest.mark.parametrize("traceparent", [None, uploaded().traceparent])
def test_what_is_null_at_the_end_of_the_base_alone_is_cut_off(traceparent):
    upload = uploaded(traceparent=traceparent)
    made = ADMITTED(codec.encode(upload), ADDED)
    assert made is not None
    assert codec.decode(made, PhotoAdmitted) == admitted(traceparent=traceparent, admitted_at=NOON)


def test_of_an_older_schema_too():
    made = ADMITTED(GOLDEN[1], ADDED)
    assert made is not None
    assert codec.decode(made, PhotoAdmitted) == admitted(admitted_at=NOON)


@pytest.mark.parametrize("traceparent", [None, uploaded().traceparent])
def test_a_null_that_takes_more_than_a_byte_is_left_to_the_slow_way(traceparent):
    data = codec.encode(uploaded(traceparent=traceparent))[:-1] + b"\x80\x00"
    assert codec.decode(data, PhotoUploaded) == uploaded(traceparent=traceparent)
    assert ADMITTED(data, ADDED) is None


def test_what_is_not_null_is_too():
    assert ADMITTED(codec.encode(uploaded(redrive=REDRIVE)), ADDED) is None


def test_what_is_no_extension_is_refused_at_once():
    with pytest.raises(ValueError, match="no whole number"):
        Extension(PhotoUploaded, PhotoEnriched, *ADDS)
    with pytest.raises(ValueError, match="PhotoAdmitted is not PhotoUploaded with"):
        Extension(PhotoUploaded, PhotoAdmitted, *ADDS[1:])
