"""What scene_label ought to say about a photo, worked out another way: shares no code with agents, and asks no server.

The photo is decoded whole, resized by matrices of our own, and run through the graph by onnxruntime. Agents decode a JPEG
small (a scaled inverse DCT) and let Pillow resize and crop in one step, so pixels differ a little and scores with them:
`agree` allows for what was measured on the samples (tests/integration/test_enrich_triton.py), with room to spare, and
still tells swapped colour channels, a photo that lies on its side, and a wrong crop.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

MODEL = Path(__file__).parents[2] / "ops" / "models" / "scene_label"

SCORE_TOLERANCE = 0.05
"""Between scores of a label. Seen: 0.028 at most; with the channels swapped 0.067 and more."""

COSINE_TOLERANCE = 0.02
"""Below 1, of the cosine of two embeddings. Seen: 0.009 at most; with the channels swapped 0.086 and more, with a crop of 192 of 256 0.033 and more."""


@dataclass(frozen=True)
class Reference:
    """Probability of each label by its name, and the embedding."""

    probabilities: dict[str, float]
    embedding: np.ndarray

    @property
    def top(self) -> list[tuple[str, float]]:
        """The five most probable, most probable first."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:5]


def look(photo: Path, *, channels="RGB", crop=224) -> Reference:
    """What is in the photo. `channels="BGR"` and another `crop` are wrong on purpose."""
    pixels = _upright(photo)
    if channels == "BGR":
        pixels = pixels[:, :, ::-1]
    height, width, _ = pixels.shape
    short = min(height, width)
    resized = _resize(pixels, round(height * 256 / short), round(width * 256 / short))
    top, left = (resized.shape[0] - crop) // 2, (resized.shape[1] - crop) // 2
    middle = resized[top : top + crop, left : left + crop]
    if crop != 224:
        middle = _resize(middle, 224, 224)
    tensor = ((np.clip(middle, 0, 255) - 127.0) / 128.0).transpose(2, 0, 1)[None].astype(np.float32)
    probabilities, embedding = _graph().run(["probs", "embedding"], {"image": tensor})
    names = (MODEL / "labels.txt").read_text().splitlines()
    return Reference(dict(zip(names, probabilities[0].tolist(), strict=True)), embedding[0])


def agree(labels, embedding, reference: Reference) -> bool:
    """Whether (name, score) pairs, most confident first, and an embedding are what the reference says, within tolerance."""
    if len(labels) != 5 or len(embedding) != len(reference.embedding):
        return False
    scores_close = all(abs(score - reference.probabilities[name]) <= SCORE_TOLERANCE for name, score in labels)
    # Two labels may change places only if the reference itself can hardly tell them apart.
    best_first = all(
        reference.probabilities[name] >= expected - SCORE_TOLERANCE
        for (name, _), (_, expected) in zip(labels, reference.top, strict=True)
    )
    first = np.asarray(embedding, dtype=np.float64)
    second = reference.embedding.astype(np.float64)
    cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
    return scores_close and best_first and bool(cosine >= 1 - COSINE_TOLERANCE)


@cache
def _graph() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(MODEL / "1" / "model.onnx", options, providers=["CPUExecutionProvider"])


def _upright(photo: Path) -> np.ndarray:
    with Image.open(photo) as image:
        orientation = image.getexif().get(0x0112, 1)
        adobe = b"Adobe RGB (1998)" in image.info.get("icc_profile", b"")
        pixels = np.asarray(image.convert("RGB")).astype(np.float64)
    quarter_turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    return np.rot90(from_adobe_rgb(pixels) if adobe else pixels, quarter_turns)


def from_adobe_rgb(pixels: np.ndarray) -> np.ndarray:
    """sRGB (IEC 61966-2-1) of Adobe RGB (1998), by the two standards' own figures."""
    to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
    from_xyz = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    linear = np.clip((pixels / 255) ** 2.19921875 @ (from_xyz @ to_xyz).T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    columns = np.tensordot(pixels, _weights(pixels.shape[1], width), axes=(1, 1))  # [height, channel, x]
    return np.tensordot(_weights(pixels.shape[0], height), columns, axes=(1, 0)).transpose(0, 2, 1)


def _weights(size: int, wanted: int) -> np.ndarray:
    """[wanted, size]: cubic convolution (Keys 1981, a = -0.5), widened where it makes smaller."""
    scale = max(size / wanted, 1.0)
    centres = (np.arange(wanted) + 0.5) * size / wanted - 0.5
    distance = np.abs(np.arange(size)[None] - centres[:, None]) / scale
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)
