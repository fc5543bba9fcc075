import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.errors import Unavailable
from streams.patience import answer, or_unavailable

pytestmark = pytest.mark.unit


def failing(code, times):
    left = [code] * times

    def ask():
        if left:
            raise KafkaException(KafkaError(left.pop()))
        return "answer"

    return ask


def test_what_the_broker_will_know_soon_is_asked_again():
    assert answer(failing(KafkaError.NOT_LEADER_FOR_PARTITION, 2)) == "answer"


def test_patience_ends():
    with pytest.raises(KafkaException):
        answer(failing(KafkaError.NOT_LEADER_FOR_PARTITION, 10**6), patience_seconds=0.2)


def test_what_no_patience_mends_is_raised_at_once():
    with pytest.raises(KafkaException):
        answer(failing(KafkaError.TOPIC_AUTHORIZATION_FAILED, 1))


@pytest.mark.parametrize(
    "error", [KafkaException(KafkaError(KafkaError._TIMED_OUT)), TimeoutError("no record for 30 s")]
)
def test_what_the_broker_or_its_silence_is_at_fault_for_is_unavailable(error):
    with (
        pytest.raises(Unavailable, match=r"broker:9092: (Local: Timed out|no record for 30 s)"),
        or_unavailable("broker:9092"),
    ):
        raise error


def test_anything_else_is_a_bug():
    with pytest.raises(KeyError), or_unavailable("broker:9092"):
        raise KeyError
