"""Looks at one line of pixels: cheap, the same for the same photo, and different for another."""

import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One instance."""

    def execute(self, requests):
        """One response a request."""
        return [self._response(triton.get_input_tensor_by_name(each, "image").as_numpy()) for each in requests]

    def _response(self, images):
        lines = images.reshape(len(images), -1)[:, :1280] + 2.0
        probs = lines[:, :1000] / lines[:, :1000].sum(axis=1, keepdims=True)
        outputs = {"probs": probs, "embedding": lines}
        return triton.InferenceResponse(
            [triton.Tensor(name, np.ascontiguousarray(array, np.float32)) for name, array in outputs.items()]
        )
