"""text: what is written in the picture, and where (PP-OCRv6 small)."""

from pathlib import Path

import numpy as np

from agents.photo.decode import Picture
from agents.vision.letterbox import Box, letterbox
from agents.vision.model import Frame, Inputs, Model, Tensors, frame_of
from schemas.events import ModelResult, Region

_CHARACTERS = ["", *Path(__file__).with_suffix(".txt").read_text("utf-8").split("\n")[:-1], " "]
"""By what the model answers: 0 is the end of a line, the last one a space."""

_SIDE = 960
_SHORT_SIDE = 720
"""What the square takes of a picture of 4:3."""

# The bounds of the served model.
_LINES = 32
_LENGTH = 160

_LEAST_SCORE = 0.5
"""Below, lines are mostly patterns that were taken for characters (RapidOCR's config.yaml, text_score)."""


def _prepare(picture: Picture) -> Inputs:
    size = np.array([Box.of(frame_of(picture), _SIDE)], np.float32)
    return {"image": letterbox(picture.pixels, _SIDE), "size": size}


def _read(outputs: Tensors, frame: Frame) -> ModelResult:
    box = Box.of(frame, _SIDE)
    [corners], [scores], [characters] = outputs["corners"], outputs["scores"], outputs["characters"]
    regions = []
    for index in range(int(np.count_nonzero(scores >= _LEAST_SCORE))):
        points = box.fractions(corners[index].reshape(4, 2))
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        text = "".join(_CHARACTERS[int(kind)] for kind in characters[index]).strip()
        if text:
            regions.append(
                Region(
                    name="text",
                    score=float(scores[index]),
                    left=left,
                    top=top,
                    width=right - left,
                    height=bottom - top,
                    points=points.ravel().tolist(),
                    text=text,
                )
            )
    return ModelResult(model=TEXT.name, version=TEXT.version, regions=regions)


TEXT = Model(
    name="text",
    version="1",
    short_side=_SHORT_SIDE,
    outputs={"corners": (1, _LINES, 8), "scores": (1, _LINES), "characters": (1, _LINES, _LENGTH)},
    prepare=_prepare,
    read=_read,
)
