# ruff: noqa: INP001 (no part of a package: Triton loads it as model.py)
"""Triton's Python backend for any ONNX graph: model.onnx beside this file, run by onnxruntime on the CPU.

config.pbtxt names the inputs and outputs as the graph does. What Triton's batcher hands over together is one run.
The parameter `threads` is the number of threads of one run.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Read once, when onnxruntime is loaded; from 1.29 on it would else report models and runs to Microsoft.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One instance, in a process of its own."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph."""
        if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
            raise triton.TritonModelException("numpy 2 is here: float outputs would arrive empty; install numpy 1")
        config = json.loads(args["model_config"])
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]
        self.batched = config["max_batch_size"] > 0
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["threads"]["string_value"])
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = (
            False  # batches have many sizes: a plan for each takes a quarter more memory, and no less time
        )
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting instance costs no CPU
        graph = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, in their order."""
        if not self.batched:
            return [self._respond([request])[0] for request in requests]
        return self._respond(requests)

    def _respond(self, requests: list[Any]) -> list[Any]:
        """Run the requests as one batch, joined along the first axis, and part what comes out likewise."""
        feeds = [
            [triton.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs] for request in requests
        ]
        joined = [arrays[0] if len(arrays) == 1 else np.concatenate(arrays) for arrays in zip(*feeds, strict=True)]
        try:
            results = self.session.run(self.outputs, dict(zip(self.inputs, joined, strict=True)))
        except Exception as error:  # noqa: BLE001 (onnxruntime's errors have no common base but this; the caller gets it)
            refusal = triton.TritonError(f"onnxruntime: {error}")
            return [triton.InferenceResponse(error=refusal) for _ in requests]
        if len(requests) == 1:
            return [self._response(results)]
        ends = np.cumsum([len(arrays[0]) for arrays in feeds])[:-1]
        return [self._response(parts) for parts in zip(*(np.split(result, ends) for result in results), strict=True)]

    def _response(self, arrays: Iterable[np.ndarray]) -> Any:
        tensors = [
            triton.Tensor(name, np.ascontiguousarray(array)) for name, array in zip(self.outputs, arrays, strict=True)
        ]
        return triton.InferenceResponse(tensors)
