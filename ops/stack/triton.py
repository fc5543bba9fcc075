"""One tritonserver on the loopback address, out of its wheel, with the models of ops/models on the CPU."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tritonclient import grpc as tritonclient
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from ops.stack.model_repository import MODELS, render
from ops.stack.ports import free_ports
from ops.stack.process import Process, StackError
from ops.stack.triton_runtime import triton_runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput

_START = timedelta(seconds=120)  # a model is ready in 1 to 6 s, ten in up to 21
_STOP = timedelta(seconds=10)
_CANARY_SECONDS = 5.0  # for all models together; above the slowest answer under load (1.7 s)
_SHM = Path("/dev/shm")  # noqa: S108 (where the backend puts its shared memory)
_FIRST = 1  # before all that waits, where a model has priorities
_SIZE_OF_UNKNOWN_DIMENSION = 32  # text detection takes multiples of 32 only


class Triton:
    """A server that keeps its ports, its log and the folder that it serves in `data`.

    A model whose process hangs or died still counts as ready to Triton: only an inference on each tells (`healthy`).
    """

    name = "triton"

    def __init__(self, data: Path, *, repository: Path = MODELS, models: Sequence[str] | None = None) -> None:
        """`models`: those of `repository` to load; None: all."""
        self._data = data.absolute()
        self._repository = repository
        self._wanted = models
        self._models: list[str] = []
        self._process: Process | None = None
        self._http = self._grpc = self._metrics = 0
        # Its own, so that what a killed server left can be told from another server's.
        self._shm_prefix = f"safelight_{hashlib.sha256(str(self._data).encode()).hexdigest()[:12]}_"

    @property
    def grpc(self) -> str:
        """host:port for clients."""
        return f"127.0.0.1:{self._grpc}"

    @property
    def http(self) -> str:
        """host:port of the HTTP interface."""
        return f"127.0.0.1:{self._http}"

    @property
    def metrics(self) -> str:
        """The URL of the Prometheus metrics."""
        return f"http://127.0.0.1:{self._metrics}/metrics"

    @property
    def address(self) -> str:
        """host:port for people."""
        return self.grpc

    @property
    def pid(self) -> int | None:
        """Of tritonserver; the models are its children."""
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> int | None:
        """Of the last start; None while it runs."""
        return self._process.returncode if self._process else None

    def running(self) -> bool:
        """Whether tritonserver lives."""
        return self._process is not None and self._process.running

    def healthy(self) -> bool:
        """Whether every model answers an inference on zeros with something in every output, within 5 s in all."""
        end = time.monotonic() + _CANARY_SECONDS
        options = [("grpc.enable_http_proxy", 0)]  # a proxy for the world is none for this machine
        try:
            with tritonclient.InferenceServerClient(self.grpc, channel_args=options) as client:
                return all(_canary(client, model, end) for model in self._models) and bool(self._models)
        except InferenceServerException:
            return False

    def start(self) -> None:
        """Serve all models; StackError with the server's last word if one of them does not load."""
        self._data.mkdir(parents=True, exist_ok=True)
        runtime = triton_runtime()
        served = self._data / "models"
        self._models = render(self._repository, served, self._wanted)
        self._clean_shm()
        self._choose_ports()
        self._process = Process(
            self.name,
            [
                runtime.server,
                f"--model-repository={served}",
                "--model-control-mode=explicit",
                *(f"--load-model={model}" for model in self._models),
                f"--backend-directory={runtime.backends}",
                f"--cache-directory={runtime.caches}",
                f"--backend-config=python,shm-region-prefix-name={self._shm_prefix}",
                "--disable-auto-complete-config",
                *("--http-address=127.0.0.1", f"--http-port={self._http}"),
                *("--grpc-address=127.0.0.1", f"--grpc-port={self._grpc}"),
                *("--metrics-address=127.0.0.1", f"--metrics-port={self._metrics}"),
                "--allow-gpu-metrics=false",
                "--exit-timeout-secs=5",
            ],
            log=self._data / "triton.log",
            env=runtime.environment,
            cwd=self._data,
        )
        self._process.start()
        self._process.wait_ready(self._ready, within=_START)
        if not self.healthy():
            self.stop()
            raise StackError(
                f"triton has loaded {', '.join(self._models)}, but a test inference fails: see {self._process.log}"
            )

    def stop(self) -> None:
        """End it and its models, and free their shared memory."""
        if self._process is not None:
            self._process.stop(grace=_STOP)
            self._clean_shm()

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._http, timeout=1)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _choose_ports(self) -> None:
        """Those of the last start if nobody has them now, so that clients find the server again."""
        file = self._data / "ports.json"
        last = json.loads(file.read_text()) if file.exists() else [0, 0, 0]
        self._http, self._grpc, self._metrics = free_ports(*last)
        file.write_text(json.dumps([self._http, self._grpc, self._metrics]))

    def _clean_shm(self) -> None:
        for left in _SHM.glob(f"{self._shm_prefix}*"):
            left.unlink(missing_ok=True)


def _canary(client: tritonclient.InferenceServerClient, model: str, end: float) -> bool:
    def left() -> float:
        return max(0.1, end - time.monotonic())

    config = client.get_model_config(model, client_timeout=left()).config
    zeros = [_zeros(config, each) for each in config.input]
    answer = client.infer(model, zeros, client_timeout=left(), priority=_FIRST)
    return all(_has_something(answer.as_numpy(each.name)) for each in config.output)


def _zeros(config: ModelConfig, declared: ModelInput) -> tritonclient.InferInput:
    """The smallest input of this declaration."""
    shape = [1] * (config.max_batch_size > 0) + [
        size if size > 0 else _SIZE_OF_UNKNOWN_DIMENSION for size in declared.dims
    ]
    kind = tritonclient.model_config_pb2.DataType.Name(declared.data_type).removeprefix("TYPE_")
    tensor = tritonclient.InferInput(declared.name, shape, kind)
    return tensor.set_data_from_numpy(np.zeros(shape, triton_to_np_dtype(kind)))


def _has_something(output: np.ndarray | None) -> bool:
    return output is not None and output.size > 0
