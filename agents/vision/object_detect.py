"""object_detect: which things of 80 kinds are in the picture, and where (NanoDet-g)."""

from pathlib import Path

import numpy as np

from agents.photo.decode import Picture
from agents.vision.letterbox import Box, letterbox
from agents.vision.model import Frame, Inputs, Model, Tensors
from agents.vision.overlap import distinct
from schemas.events import Label, ModelResult, Region

_NAMES = Path(__file__).with_suffix(".txt").read_text().splitlines()

_SIDE = 416
_SHORT_SIDE = 312
"""What the square takes of a picture of 4:3. A square one may have to be enlarged by a third; all others gain a cheaper decode."""

_CANDIDATES = 300
"""Places that the served graph answers with, most confident first."""

# As NanoDet's own demo and evaluation have them (demo/demo.py; nanodet_head.py, get_bboxes).
_LEAST_SCORE = 0.35
_MOST_OVERLAP = 0.6
_MOST_REGIONS = 100


def _prepare(picture: Picture) -> Inputs:
    return {"image": letterbox(picture.pixels, _SIDE)}


def _read(outputs: Tensors, frame: Frame) -> ModelResult:
    [scores], [kinds], [boxes] = outputs["scores"], outputs["classes"], outputs["boxes"]
    seen = int(np.count_nonzero(scores >= _LEAST_SCORE))
    # Far apart for each kind: a person on a horse is not the horse.
    apart = boxes[:seen] + 4 * _SIDE * kinds[:seen, np.newaxis]
    kept = distinct(apart, most_overlap=_MOST_OVERLAP)[:_MOST_REGIONS]
    corners = Box.of(frame, _SIDE).fractions(boxes[kept].reshape(-1, 2, 2))
    regions = [
        Region(
            name=_NAMES[int(kinds[index])],
            score=float(scores[index]),
            left=left,
            top=top,
            width=right - left,
            height=bottom - top,
        )
        for index, ((left, top), (right, bottom)) in zip(kept, corners.tolist(), strict=True)
    ]
    best = {region.name: region.score for region in reversed(regions)}
    return ModelResult(
        model=OBJECT_DETECT.name,
        version=OBJECT_DETECT.version,
        labels=[Label(name, score) for name, score in sorted(best.items(), key=lambda item: -item[1])],
        regions=regions,
    )


OBJECT_DETECT = Model(
    name="object_detect",
    version="1",
    short_side=_SHORT_SIDE,
    outputs={"scores": (1, _CANDIDATES), "classes": (1, _CANDIDATES), "boxes": (1, _CANDIDATES, 4)},
    prepare=_prepare,
    read=_read,
)
