import errno
import json

import pytest
from aiokafka.errors import KafkaConnectionError
from confluent_kafka import KafkaError, KafkaException

from schemas.errors import Refused, StrangeWorld, Unavailable
from streams import blame

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("error", [KeyError("x"), Refused("photos", "too long"), TimeoutError(), MemoryError()])
def test_what_a_record_can_bring_about_is_the_work_s(error):
    assert blame.of_the_work(error)


@pytest.mark.parametrize(
    "error",
    [
        StrangeWorld("no table"),
        Unavailable("triton", "down"),
        KafkaException(KafkaError(KafkaError._FENCED)),
        KafkaConnectionError(),
        OSError(errno.ENOSPC, "no space"),
    ],
)
def test_what_every_record_would_meet_is_not(error):
    assert not blame.of_the_work(error)


def test_a_place_is_the_innermost_of_our_own_code_by_its_path_in_the_project():
    def call():
        return sorted([1], key=lambda _: json.loads("{"))

    with pytest.raises(json.JSONDecodeError) as info:
        call()
    assert blame.where(info.value).startswith("JSONDecodeError at tests/unit/streams/test_blame.py:")


def test_an_error_that_was_never_raised_is_told_by_its_kind():
    assert blame.where(KeyError("owner-1")) == "KeyError"


def test_ours_is_what_the_project_wrote_and_not_what_is_installed_in_it():
    assert blame.ours(blame.__file__)
    assert blame.ours(__file__)
    assert not blame.ours(json.__file__)
    assert not blame.ours(blame.__file__.replace("streams", ".venv/lib/python/site-packages/streams"))
