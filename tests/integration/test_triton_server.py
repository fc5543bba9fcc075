"""The embedded Triton: it answers what the graph answers, says so when it cannot, and leaves nothing behind."""

import os
import secrets
import shutil
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import onnxruntime
import psutil
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from ops.stack.cache import cache_dir
from ops.stack.model_repository import MODELS
from ops.stack.process import StackError
from ops.stack.triton import Triton
from ops.stack.triton_runtime import triton_runtime
from tests.support.eventually import eventually

pytestmark = pytest.mark.integration

GRAPH = MODELS / "scene_label" / "1" / "model.onnx"
LABELS = (MODELS / "scene_label" / "labels.txt").read_text().splitlines()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A server that no test of this module harms."""
    it = Triton(tmp_path_factory.mktemp("triton"))
    it.start()
    yield it
    it.stop()


@pytest.fixture
def own(tmp_path):
    """A server that its test may harm."""
    it = Triton(tmp_path / "triton", models=["scene_label"])
    it.start()
    yield it
    it.stop()


@pytest.fixture(scope="module")
def graph():
    return onnxruntime.InferenceSession(GRAPH, providers=["CPUExecutionProvider"])


def images(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, 224, 224)).astype(np.float32)


def infer(server, tensor, *outputs, classes=0):
    image = InferInput("image", list(tensor.shape), "FP32").set_data_from_numpy(tensor)
    wanted = [InferRequestedOutput(name, class_count=classes) for name in outputs]
    with InferenceServerClient(server.grpc) as client:
        answer = client.infer("scene_label", [image], outputs=wanted, client_timeout=30)
    return [answer.as_numpy(name) for name in outputs]


def models_of(server):
    return psutil.Process(server.pid).children(recursive=True)


def shared_memory_of(server):
    return set(Path("/dev/shm").glob(f"{server._shm_prefix}*"))


@pytest.fixture
def others_shared_memory():
    path = Path(f"/dev/shm/safelight_{secrets.token_hex(6)}_test")
    path.touch()
    yield path
    path.unlink(missing_ok=True)


def test_answers_equal_the_graph_run_directly(shared, graph):
    tensor = images(5)
    for served, direct in zip(
        infer(shared, tensor, "probs", "embedding"), graph.run(["probs", "embedding"], {"image": tensor}), strict=True
    ):
        np.testing.assert_allclose(served, direct, rtol=1e-3, atol=1e-5)


def test_requests_that_are_batched_get_each_its_own_answer(shared, graph):
    """More at once than there are instances, of different sizes, so that the server joins and parts them."""
    tensors = [images(1 + number % 3, seed=number) for number in range(12)]
    with ThreadPoolExecutor(len(tensors)) as pool:
        served = list(pool.map(lambda tensor: infer(shared, tensor, "embedding")[0], tensors))
    for tensor, embedding in zip(tensors, served, strict=True):
        np.testing.assert_allclose(embedding, graph.run(["embedding"], {"image": tensor})[0], rtol=1e-3, atol=1e-5)
    assert mean_batch(shared) > 1


def mean_batch(server):
    with InferenceServerClient(server.grpc) as client:
        [model] = client.get_inference_statistics("scene_label").model_stats
    return model.inference_count / model.execution_count


def test_the_server_knows_the_labels(shared, graph):
    [answer] = infer(shared, images(1), "probs", classes=1)
    _probability, index, label = answer.flat[0].decode().split(":")
    best = graph.run(["probs"], {"image": images(1)})[0].argmax()
    assert int(index) == best
    assert label == LABELS[best]


def test_it_is_healthy_and_says_so_quickly(shared):
    begin = time.monotonic()
    assert shared.healthy()
    assert time.monotonic() - begin < 3


def test_it_tells_prometheus_what_it_did(shared):
    infer(shared, images(1), "probs")
    with urlopen(shared.metrics) as answer:
        assert 'nv_inference_request_success{model="scene_label"' in answer.read().decode()


def test_nothing_in_it_reports_to_its_maker(tmp_path, monkeypatch):
    """onnxruntime from 1.29 on keeps an id of the device and a queue of reports in the user's cache folder."""
    libraries = list(triton_runtime().site_packages.glob("onnxruntime/capi/*.so*"))
    assert libraries
    assert [path for path in libraries if b"events.data.microsoft.com" in path.read_bytes()] == []
    monkeypatch.setenv("SAFELIGHT_CACHE", str(cache_dir()))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / ".cache"))
    (tmp_path / "home").mkdir()
    server = Triton(tmp_path / "triton", models=["scene_label"])
    server.start()
    try:
        infer(server, images(1), "probs")
        sockets = [
            each for process in [psutil.Process(server.pid), *models_of(server)] for each in process.net_connections()
        ]
    finally:
        server.stop()
    assert [each for each in sockets if each.raddr and each.raddr.ip.removeprefix("::ffff:") != "127.0.0.1"] == []
    assert list((tmp_path / "home").rglob("*")) == []


def test_it_listens_on_the_loopback_address_alone(shared):
    listening = [
        each.laddr for each in psutil.Process(shared.pid).net_connections() if each.status == psutil.CONN_LISTEN
    ]
    assert len({address.port for address in listening}) == 3
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_a_hanging_model_is_unhealthy_within_seconds_and_a_restart_on_the_same_ports_heals(own):
    before = own.grpc, own.http, own.metrics
    for model in models_of(own):
        model.suspend()
    begin = time.monotonic()
    assert not own.healthy()
    assert time.monotonic() - begin < 8
    own.stop()
    own.start()
    assert own.healthy()
    assert (own.grpc, own.http, own.metrics) == before


def test_a_dead_model_is_unhealthy(own):
    for model in models_of(own):
        model.kill()
    eventually(lambda: _(not own.healthy()))


def test_nothing_is_left_after_a_kill_and_a_stop(own, others_shared_memory):
    models = models_of(own)
    assert models
    assert shared_memory_of(own)
    os.kill(own.pid, signal.SIGKILL)
    eventually(lambda: _(not own.running()))
    assert not own.healthy()
    own.stop()
    psutil.wait_procs(models, timeout=5)
    assert not any(map(psutil.Process.is_running, models))
    assert shared_memory_of(own) == set()
    assert others_shared_memory.exists()
    for address in (own.grpc, own.http):
        with socket.create_server(("127.0.0.1", int(address.partition(":")[2]))):
            pass


def test_a_model_that_does_not_load_is_told_and_leaves_nothing(tmp_path):
    models = tmp_path / "models"
    shutil.copytree(MODELS, models)
    (models / "scene_label" / "1" / "model.onnx").write_bytes(b"no graph")
    server = Triton(tmp_path / "triton", repository=models, models=["scene_label"])
    with pytest.raises(StackError, match=r"triton ended .*triton\.log"):
        server.start()
    assert not server.running()
    assert shared_memory_of(server) == set()


def _(truth):
    assert truth
