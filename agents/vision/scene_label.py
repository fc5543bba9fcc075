"""scene_label: what is in the picture, as one of 1000 names, and the picture as a vector (EfficientNet-Lite0)."""

from pathlib import Path

import numpy as np
from PIL import Image

from agents.photo.decode import Picture
from agents.vision.model import Frame, Inputs, Model, Tensors
from schemas.events import Label, ModelResult

_NAMES = Path(__file__).with_suffix(".txt").read_text().splitlines()
_TOP = 5

# As the model was trained: the shorter side at 256 pixels, of that the middle 224 by 224; values about -1 to 1.
_SHORT_SIDE = 256
_CROP = 224
_MEAN = np.float32(127)
_SCALE = np.float32(128)


def _prepare(picture: Picture) -> Inputs:
    height, width, _ = picture.pixels.shape
    side = min(height, width) * _CROP / _SHORT_SIDE
    left, top = (width - side) / 2, (height - side) / 2
    image = Image.fromarray(picture.pixels).resize(
        (_CROP, _CROP), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )
    values = (np.asarray(image, np.float32) - _MEAN) / _SCALE
    return {"image": np.ascontiguousarray(values.transpose(2, 0, 1)[np.newaxis])}


def _read(outputs: Tensors, frame: Frame) -> ModelResult:
    del frame  # labels are of the whole picture
    [probabilities] = outputs["probs"]
    [embedding] = outputs["embedding"]
    best = np.argsort(-probabilities, kind="stable")[:_TOP]
    return ModelResult(
        model=SCENE_LABEL.name,
        version=SCENE_LABEL.version,
        labels=[Label(_NAMES[index], float(probabilities[index])) for index in best],
        embedding=(embedding / np.linalg.norm(embedding)).astype("<f4").tobytes(),
    )


SCENE_LABEL = Model(
    name="scene_label",
    version="1",
    short_side=_SHORT_SIDE,
    outputs={"probs": (1, len(_NAMES)), "embedding": (1, 1280)},
    prepare=_prepare,
    read=_read,
)
