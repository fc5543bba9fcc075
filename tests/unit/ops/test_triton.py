"""What the embedded Triton does before it runs, and what it asks its models."""

import socket
import time

import numpy as np
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ops.stack.process import StackError
from ops.stack.triton import Triton, _zeros

pytestmark = pytest.mark.unit


def test_before_the_first_start_nothing_runs_and_that_is_said_at_once(tmp_path):
    server = Triton(tmp_path)
    begin = time.monotonic()
    assert (server.pid, server.running(), server.healthy()) == (None, False, False)
    assert time.monotonic() - begin < 2
    server.stop()


def test_a_server_that_is_gone_is_unhealthy_at_once(tmp_path):
    server = Triton(tmp_path)
    server._choose_ports()
    server._models = ["scene_label"]
    begin = time.monotonic()
    assert not server.healthy()
    assert time.monotonic() - begin < 2


def test_ports_stay_the_same_from_start_to_start_unless_somebody_has_them(tmp_path):
    first, again = Triton(tmp_path), Triton(tmp_path)
    first._choose_ports()
    again._choose_ports()
    assert (again.grpc, again.http, again.metrics) == (first.grpc, first.http, first.metrics)
    with socket.create_server(("127.0.0.1", int(first.grpc.partition(":")[2]))):
        again._choose_ports()
    assert again.grpc != first.grpc
    assert (again.http, again.metrics) == (first.http, first.metrics)


def test_a_model_that_is_not_there_is_named_before_anything_starts(tmp_path):
    with pytest.raises(StackError, match="no model absent in"):
        Triton(tmp_path, models=["absent"]).start()


def test_two_servers_have_each_their_own_shared_memory(tmp_path):
    assert Triton(tmp_path / "a")._shm_prefix != Triton(tmp_path / "b")._shm_prefix


def declared(max_batch_size, data_type, dims):
    config = ModelConfig(max_batch_size=max_batch_size)
    config.input.add(name="it", data_type=data_type, dims=dims)
    return config


@pytest.mark.parametrize(
    ("config", "shape", "kind"),
    [
        (declared(8, "TYPE_FP32", [3, 224, 224]), [1, 3, 224, 224], np.float32),
        (declared(0, "TYPE_FP32", [1, 3, -1, -1]), [1, 3, 32, 32], np.float32),
        (declared(1, "TYPE_INT64", [-1]), [1, 32], np.int64),
    ],
    ids=["a batch of one", "no batches, unknown sizes", "another type"],
)
def test_the_canary_is_a_small_input_of_the_declared_shape(config, shape, kind):
    tensor = _zeros(config, config.input[0])
    assert tensor.shape() == shape
    assert len(tensor._get_content()) == np.prod(shape) * np.dtype(kind).itemsize
