"""unsafe: how likely the picture is one that not everybody may see, for nudity or sex (Yahoo's open_nsfw)."""

import numpy as np
from PIL import Image

from agents.photo.decode import Picture
from agents.vision.model import Frame, Inputs, Model, Tensors
from schemas.events import Label, ModelResult

# As open_nsfw was tested (classify_nsfw.py): the picture squeezed into a square of 256 pixels, of that the middle 224.
_SIDE = 256
_CROP = 224


def _prepare(picture: Picture) -> Inputs:
    height, width, _ = picture.pixels.shape
    edge = (_SIDE - _CROP) / 2 / _SIDE
    middle = (width * edge, height * edge, width * (1 - edge), height * (1 - edge))
    image = Image.fromarray(picture.pixels).resize((_CROP, _CROP), Image.Resampling.BILINEAR, box=middle)
    return {"image": np.asarray(image)[np.newaxis]}


def _read(outputs: Tensors, frame: Frame) -> ModelResult:
    del frame  # labels are of the whole picture
    [[safe, unsafe]] = outputs["probs"].tolist()
    labels = [Label("safe", safe), Label("unsafe", unsafe)]
    return ModelResult(model=UNSAFE.name, version=UNSAFE.version, labels=sorted(labels, key=lambda label: -label.score))


UNSAFE = Model(
    name="unsafe",
    version="1",
    short_side=_SIDE,
    outputs={"probs": (1, 2)},
    prepare=_prepare,
    read=_read,
)
