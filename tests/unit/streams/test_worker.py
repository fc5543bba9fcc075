import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.errors import Refused, StrangeWorld
from streams.worker import in_one_line
from tests.support.builders import uploaded

pytestmark = pytest.mark.unit


def raised(call):
    with pytest.raises(BaseException) as info:  # noqa: PT011 (whatever it is)
        call()
    return info.value


def test_our_own_errors_speak_for_themselves():
    assert in_one_line(StrangeWorld("run `safelight topics`")) == "run `safelight topics`"
    assert in_one_line(Refused("photos", "too long")) == "ClickHouse refused rows for photos: too long"


def test_an_error_that_may_quote_people_is_told_by_its_kind_and_place():
    def call():
        return {}[uploaded().owner_id]

    assert in_one_line(raised(call)).startswith("KeyError at tests/unit/streams/test_worker.py:")
    assert "owner" not in in_one_line(raised(call))


def test_the_broker_s_and_the_system_s_words_are_kept():
    def call():
        raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))

    assert "broker" in in_one_line(raised(call))
    assert "No such file" in in_one_line(raised(lambda: open("/nowhere/at/all")))  # noqa: PTH123, SIM115


def test_the_place_is_the_innermost_of_our_own_code():
    def call():
        return sorted([1], key=lambda _: __import__("json").loads("{"))

    assert "test_worker.py" in in_one_line(raised(call))


def test_an_error_without_a_place_is_told_by_its_kind():
    assert in_one_line(ValueError("owner-1")) == "ValueError"
