"""What is made of Triton's answers and errors. A real server is asked in tests/integration/test_enrich_triton.py."""

import asyncio

import grpc
import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from agents.vision.model import Frame, Model
from agents.vision.triton import Triton, connect
from schemas import metrics
from schemas.errors import StrangeWorld, Unavailable
from schemas.events import ModelResult
from tests.support.batches import Counted
from tests.support.builders import vector

pytestmark = pytest.mark.unit

MODEL = Model(
    name="mood",
    version="3",
    short_side=1,
    outputs={"joy": (1, 2), "vector": (1, 3)},
    prepare=lambda _: {},
    read=lambda outputs, _: ModelResult(
        model="mood", version="3", embedding=outputs["vector"][0].astype("<f4").tobytes()
    ),
)
FRAME = Frame(640, 480)
TENSORS = {"image": np.zeros((1, 4), np.float32)}
GOOD = {"joy": np.ones((1, 2), np.float32), "vector": np.ones((1, 3), np.float32)}


class Answer(dict):
    """An InferResult."""

    def as_numpy(self, name):
        return self.get(name)


class Client:
    """Stands for the gRPC client: answers, or raises, as told; counts the calls in flight."""

    def __init__(self, answer=None, error=None):
        self.answer, self.error = answer or GOOD, error
        self.asked = []
        self.now = self.most = 0

    async def infer(self, name, inputs, version, outputs, client_timeout):
        self.asked.append((name, version, [each.name() for each in inputs], [each.name() for each in outputs]))
        assert 0 < client_timeout < 60
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        if self.error:
            raise self.error
        return Answer(self.answer)


def status(name, message="went wrong"):
    return InferenceServerException(msg=message, status=f"StatusCode.{name}")


async def test_a_model_is_asked_by_name_and_version_for_its_declared_outputs():
    client, measure = Client(), Counted()
    result = await Triton(client, measure).ask(MODEL, TENSORS, FRAME)
    assert client.asked == [("mood", "3", ["image"], ["joy", "vector"])]
    assert result.embedding == vector(1, 1, 1)
    [(name, _, labels)] = measure.observed
    assert (name, labels) == (metrics.INFERENCE.name, {"model": "mood"})


@pytest.mark.parametrize(
    "name", [code.name for code in grpc.StatusCode if code.name not in ("INVALID_ARGUMENT", "UNIMPLEMENTED")]
)
async def test_whatever_the_server_fails_with_it_is_unavailable(name):
    with pytest.raises(Unavailable, match=f"^triton is unavailable: mood: {name}, went wrong$"):
        await Triton(Client(error=status(name)), Counted()).ask(MODEL, TENSORS, FRAME)


async def test_an_error_without_a_status_is_unavailable_too():
    with pytest.raises(Unavailable):
        await Triton(Client(error=InferenceServerException(msg="")), Counted()).ask(MODEL, TENSORS, FRAME)


async def test_long_messages_stay_one_short_line():
    with pytest.raises(Unavailable) as caught:
        await Triton(Client(error=status("INTERNAL", "one\ntwo" + "x" * 5000)), Counted()).ask(MODEL, TENSORS, FRAME)
    assert caught.value.detail == "mood: INTERNAL, one"


async def test_a_server_that_does_not_take_what_is_declared_serves_another_model():
    with pytest.raises(StrangeWorld, match="mood 3 is declared to take"):
        await Triton(Client(error=status("INVALID_ARGUMENT")), Counted()).ask(MODEL, TENSORS, FRAME)


@pytest.mark.parametrize("empty", [None, np.zeros((0,), np.float32), np.zeros((1, 0), np.float32)])
async def test_an_empty_output_is_a_fault_of_the_server(empty):
    with pytest.raises(Unavailable, match="mood answers with an empty joy"):
        await Triton(Client(GOOD | {"joy": empty}), Counted()).ask(MODEL, TENSORS, FRAME)


@pytest.mark.parametrize(
    "wrong",
    [np.ones((1, 9), np.float32), np.ones((2,), np.float32), np.ones((1, 2), np.float64), np.ones((1, 2), object)],
)
async def test_an_output_of_another_shape_or_type_is_another_model(wrong):
    with pytest.raises(StrangeWorld, match="mood 3 answers with joy"):
        await Triton(Client(GOOD | {"joy": wrong}), Counted()).ask(MODEL, TENSORS, FRAME)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
async def test_what_is_no_number_is_never_taken_for_one(value):
    vector = np.array([[1, value, 1]], np.float32)
    with pytest.raises(StrangeWorld, match="NaN or infinite"):
        await Triton(Client(GOOD | {"vector": vector}), Counted()).ask(MODEL, TENSORS, FRAME)


async def test_requests_in_flight_are_bounded():
    client = Client()
    server = Triton(client, Counted())
    await asyncio.gather(*(server.ask(MODEL, TENSORS, FRAME) for _ in range(100)))
    assert len(client.asked) == 100
    assert client.most == 4


async def test_a_failed_call_gives_its_turn_back():
    client = Client(error=status("UNAVAILABLE"))
    server = Triton(client, Counted())
    for _ in range(5):
        await asyncio.gather(*(server.ask(MODEL, TENSORS, FRAME) for _ in range(16)), return_exceptions=True)
    client.error = None
    await server.ask(MODEL, TENSORS, FRAME)


async def test_nobody_at_the_address_is_unavailable():
    async with connect("127.0.0.1:9", Counted()) as server:
        with pytest.raises(Unavailable, match="mood: UNAVAILABLE"):
            await server.ask(MODEL, TENSORS, FRAME)
