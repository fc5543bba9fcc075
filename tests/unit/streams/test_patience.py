import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.patience import answer

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
