"""face_detect: faces, and in each both eyes, the nose, the mouth and both ears (MediaPipe's face detection, full range)."""

import numpy as np

from agents.photo.decode import Picture
from agents.vision.letterbox import Box, letterbox
from agents.vision.model import Frame, Inputs, Model, Tensors
from agents.vision.overlap import distinct
from schemas.events import ModelResult, Region

_SIDE = 192
_CANDIDATES = 100
"""Places that the served graph answers with, most confident first."""

_LEAST_SCORE = 0.7
"""MediaPipe asks for 0.6 (face_detection_full_range_common.pbtxt), by which a cup of coffee is a face (0.66)."""

_MOST_OVERLAP = 0.3
"""As MediaPipe has it, which takes the average of what overlaps; we, the most confident."""

_MOST_REGIONS = 100


def _prepare(picture: Picture) -> Inputs:
    return {"image": letterbox(picture.pixels, _SIDE)}


def _read(outputs: Tensors, frame: Frame) -> ModelResult:
    [scores], [faces] = outputs["scores"], outputs["faces"]
    faces = faces[: int(np.count_nonzero(scores >= _LEAST_SCORE))]
    middles, sizes = faces[:, 0:2], faces[:, 2:4]
    boxes = np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1)
    kept = distinct(boxes, most_overlap=_MOST_OVERLAP)[:_MOST_REGIONS]
    box = Box.of(frame, _SIDE)
    corners, points = box.fractions(boxes[kept].reshape(-1, 2, 2)), box.fractions(faces[kept, 4:].reshape(-1, 6, 2))
    return ModelResult(
        model=FACE_DETECT.name,
        version=FACE_DETECT.version,
        regions=[
            Region(
                name="face",
                score=float(scores[index]),
                left=left,
                top=top,
                width=right - left,
                height=bottom - top,
                points=points[number].ravel().tolist(),
            )
            for number, (index, ((left, top), (right, bottom))) in enumerate(zip(kept, corners.tolist(), strict=True))
        ],
    )


FACE_DETECT = Model(
    name="face_detect",
    version="1",
    short_side=_SIDE,
    outputs={"scores": (1, _CANDIDATES), "faces": (1, _CANDIDATES, 16)},
    prepare=_prepare,
    read=_read,
)
