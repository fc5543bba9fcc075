"""Questions to the broker, of a client that fails as the test says."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.errors import Unavailable
from schemas.topics import ADMIT_CHANGELOG, EVENTS
from streams import admin, provision
from streams.settings import Settings

pytestmark = pytest.mark.unit

BROKERS = "127.0.0.1:1"
SETTINGS = Settings(brokers=BROKERS, partitions=2)
TIMED_OUT = KafkaError._TIMED_OUT


def answered(value):
    future = Future()
    future.set_result(value)
    return future


def failed(code):
    future = Future()
    future.set_exception(KafkaException(KafkaError(code)))
    return future


class Client:
    """An admin client; everything fails with `code`, but what is in `there`."""

    def __init__(self, code=TIMED_OUT, there=()):
        self._code = code
        self._there = {SETTINGS.topic(topic) for topic in there}

    def describe_topics(self, names, request_timeout):
        return {
            name: self._description(name) if name in self._there else failed(self._code) for name in names.topic_names
        }

    def _description(self, name):
        return answered(SimpleNamespace(name=name, topic_id="id", partitions=[SimpleNamespace(replicas=[1])] * 2))

    def describe_configs(self, resources, request_timeout):
        return {each: failed(self._code) for each in resources}

    def create_topics(self, new, request_timeout):
        return {each.topic: failed(self._code) for each in new}

    def describe_consumer_groups(self, groups, request_timeout):
        return {each: failed(self._code) for each in groups}


@pytest.fixture
def client():
    """Makes one the process's."""

    def client(*args, **fields):
        admin._CLIENTS[BROKERS] = made = Client(*args, **fields)
        return made

    yield client
    admin._CLIENTS.pop(BROKERS, None)
    admin._LET_DOWN.clear()


@pytest.mark.parametrize(
    "question",
    [
        lambda: admin.described(SETTINGS, [EVENTS]),
        lambda: admin.configured(SETTINGS, [EVENTS]),
        lambda: admin.created(SETTINGS, [EVENTS]),
        lambda: admin.members(SETTINGS, "admit"),
    ],
)
def test_a_question_without_an_answer_is_unavailable_and_who_asks_next_has_a_new_client(client, question):
    old = client()
    with pytest.raises(Unavailable, match=rf"Kafka is unavailable: {BROKERS}: .*Timed out"):
        question()
    assert admin._client(BROKERS) is not old
    assert [kept for _, kept in admin._LET_DOWN] == [old]


def test_a_broker_that_goes_when_a_worker_has_seen_its_topics_is_unavailable(client):
    client(there=[EVENTS, ADMIT_CHANGELOG])
    with pytest.raises(Unavailable, match="Timed out"):
        provision.topic_ids(SETTINGS, [EVENTS, ADMIT_CHANGELOG])


def test_what_is_not_there_or_there_already_is_an_answer(client):
    mine = client(KafkaError.UNKNOWN_TOPIC_OR_PART, there=[EVENTS])
    assert set(admin.described(SETTINGS, [EVENTS, ADMIT_CHANGELOG])) == {EVENTS}
    assert admin._client(BROKERS) is mine
    mine = client(KafkaError.TOPIC_ALREADY_EXISTS)
    assert admin.created(SETTINGS, [EVENTS]) == []
    assert admin._client(BROKERS) is mine


def test_nothing_is_asked_about_nothing(client):
    client()
    assert (admin.configured(SETTINGS, []), admin.created(SETTINGS, [])) == ({}, [])


def test_clients_that_were_let_down_do_not_add_up(client):
    admin._LET_DOWN.extend([(-2 * admin._OWED_SECONDS, Client()) for _ in range(3)])
    old = client()
    with pytest.raises(Unavailable):
        admin.members(SETTINGS, "admit")
    assert [kept for _, kept in admin._LET_DOWN] == [old]
