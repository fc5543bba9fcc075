# ruff: noqa: INP001 (no part of a package: Triton loads it as model.py)
"""Triton's Python backend for two graphs: one finds lines of text, the other reads them, one after the other."""

import json
import os
import time
from pathlib import Path
from typing import Any

# Read once, when onnxruntime is loaded; from 1.29 on it would else report models and runs to Microsoft.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton
from lines import cut_out, find_lines, read_line

_MOST_LINES = 32
_MOST_CHARACTERS = 160
_MOST_PIXELS = 32 * 320
"""Of width, of all lines as they are read: a second on a processor that has nothing else to do."""

_SURE = 0.9
"""A line that is read worse may stand on its head: it is read from its other end too, and what was read better counts."""

_MOST_SECONDS = 8.0
"""For one photo, should the processor have much else to do: what is not read by then is left out."""

_STRIDE = 32
"""The finding network takes sides that are multiples of this."""


class TritonPythonModel:
    """One instance, in a process of its own."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load both graphs."""
        if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
            raise triton.TritonModelException("numpy 2 is here: float outputs would arrive empty; install numpy 1")
        options = onnxruntime.SessionOptions()
        config = json.loads(args["model_config"])
        options.intra_op_num_threads = int(config["parameters"]["threads"]["string_value"])
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting instance costs no CPU
        folder = Path(args["model_repository"], args["model_version"])
        self.detect, self.recognise = (
            onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])
            for name in ("detect.onnx", "recognise.onnx")
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, in their order."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        [image] = triton.get_input_tensor_by_name(request, "image").as_numpy()
        [size] = triton.get_input_tensor_by_name(request, "size").as_numpy()
        try:
            outputs = self._read(image, *(int(side) for side in size))
        except Exception as error:  # noqa: BLE001 (onnxruntime's errors have no common base but this; the caller gets it)
            return triton.InferenceResponse(error=triton.TritonError(f"text: {error}"))
        return triton.InferenceResponse([triton.Tensor(name, array[np.newaxis]) for name, array in outputs.items()])

    def _read(self, image: np.ndarray, width: int, height: int) -> dict[str, np.ndarray]:
        end = time.monotonic() + _MOST_SECONDS
        picture, left, found = image[:height, :width], _MOST_PIXELS, []
        for line in find_lines(self._probabilities(image, width, height))[:_MOST_LINES]:
            readings = []
            for way in (line, line.turned()):
                shown = cut_out(picture, way)
                left -= shown.shape[3]
                if left < 0 or time.monotonic() > end:
                    break
                [[steps]] = self.recognise.run(None, {"x": shown})
                characters, score = read_line(steps)
                readings.append((score, way.corners, characters[:_MOST_CHARACTERS]))
                if score >= _SURE:
                    break
            if readings:
                found.append(max(readings, key=lambda each: each[0]))
        found.sort(key=lambda each: -each[0])
        outputs = {
            "corners": np.zeros((_MOST_LINES, 8), np.float32),
            "scores": np.zeros(_MOST_LINES, np.float32),
            "characters": np.zeros((_MOST_LINES, _MOST_CHARACTERS), np.float32),
        }
        for index, (score, corners, characters) in enumerate(found):
            outputs["corners"][index] = corners.ravel()
            outputs["scores"][index] = score
            outputs["characters"][index, : len(characters)] = characters
        return outputs

    def _probabilities(self, image: np.ndarray, width: int, height: int) -> np.ndarray:
        """[height, width]: how likely each pixel is in the middle of a line. The network sees blue first, -1 to 1."""
        across, down = (max(_STRIDE, -(-side // _STRIDE) * _STRIDE) for side in (width, height))
        values = image[:down, :across, ::-1].astype(np.float32) / 127.5 - 1
        [[[probabilities]]] = self.detect.run(None, {"x": np.ascontiguousarray(values.transpose(2, 0, 1)[np.newaxis])})
        return probabilities[:height, :width]
