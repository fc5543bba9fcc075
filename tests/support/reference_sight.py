"""What the models ought to say of a photo, worked out another way: shares no code with agents, and asks no server.

The networks are those that are served, without what was built around them (ops/models/build.py): of a graph only what comes out of
the network itself is used, and that what goes into it is what is worked out here of the same pixels is checked. `swapped`
shows the models blue for red, which is wrong.
"""

import itertools
import math
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime

from tests.support.reference_picture import resized

MODELS = Path(__file__).parents[2] / "ops" / "models"

COCO = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
]


@dataclass(frozen=True)
class Found:
    """A region: left, top, width, height and points as fractions of the picture."""

    name: str
    score: float
    box: tuple[float, float, float, float]
    points: tuple[float, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Sight:
    """What a model says: `labels` and `regions` best first; `scores` also of what is no label."""

    labels: list[tuple[str, float]]
    regions: list[Found] = field(default_factory=list)
    embedding: np.ndarray | None = None
    scores: dict[str, float] = field(default_factory=dict)


def difference(seen: Sight, expected: Sight) -> float:
    """The largest of all numbers; infinite when not the same things were seen."""
    if [name for name, _ in seen.labels] != [name for name, _ in expected.labels]:
        return math.inf
    if [(each.name, each.text) for each in seen.regions] != [(each.name, each.text) for each in expected.regions]:
        return math.inf
    pairs = list(zip(_numbers(seen), _numbers(expected), strict=True))
    return max((abs(one - other) for one, other in pairs), default=0.0)


def rough_difference(seen: Sight, expected: Sight, *, least_score: float = 0.0, allowed: float = 0.1) -> float:
    """The same, of pictures that were decoded differently: what is barely seen in one need not be in the other."""
    if seen.labels[:1] and expected.labels[:1] and seen.labels[0][0] != expected.labels[0][0]:
        return math.inf
    gaps = [abs(score - expected.scores[name]) for name, score in seen.labels]
    for ours, theirs in itertools.permutations((seen.regions, expected.regions)):
        for each in ours:
            near = [_gap(each, other) for other in theirs if _what(other) == _what(each)]
            if near:
                gaps.append(min(near))
            elif each.score >= least_score + allowed:
                return math.inf
    if seen.embedding is not None and expected.embedding is not None:
        gaps.append(float(1 - seen.embedding @ expected.embedding))
    return max(gaps, default=0.0)


def _what(found: Found) -> tuple[str, str]:
    """Where the spaces are is the first that changes with the decode."""
    return found.name, found.text.replace(" ", "")


def _gap(one: Found, other: Found) -> float:
    return max(abs(a - b) for a, b in zip(_of(one), _of(other), strict=True))


def _of(found: Found) -> list[float]:
    return [found.score, *found.box, *found.points]


def _numbers(sight: Sight) -> list[float]:
    embedding = [] if sight.embedding is None else sight.embedding.tolist()
    return [score for _, score in sight.labels] + [n for each in sight.regions for n in _of(each)] + embedding


def scene_label(pixels, *, swapped=False) -> Sight:
    height, width, _ = pixels.shape
    side = min(height, width) * 224 / 256
    left, top = (width - side) / 2, (height - side) / 2
    small = resized(coloured(pixels, swapped), 224, 224, kernel="cubic", box=(left, top, left + side, top + side))
    tensor = ((small.astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None]
    [probabilities], [embedding] = _graph("scene_label").run(["probs", "embedding"], {"image": tensor})
    names = (MODELS / "scene_label" / "labels.txt").read_text().splitlines()
    scores = dict(zip(names, probabilities.tolist(), strict=True))
    return Sight(_best_first(scores)[:5], embedding=embedding / np.linalg.norm(embedding), scores=scores)


def unsafe(pixels, *, swapped=False) -> Sight:
    small = resized(coloured(pixels, swapped), 256, 256, kernel="linear")[16:240, 16:240]
    fed = (small[:, :, ::-1].astype(np.float32) - np.float32([104, 117, 123])).transpose(2, 0, 1)
    [probabilities] = _network("unsafe", small, "conv_1/Conv2D__7:0", fed, "outputs")
    scores = dict(zip(("safe", "unsafe"), probabilities[0].tolist(), strict=True))
    return Sight(_best_first(scores), scores=scores)


def object_detect(pixels, *, swapped=False) -> Sight:
    square, width, height = in_a_square(coloured(pixels, swapped), 416)
    fed = (square[:, :, ::-1] - np.array([103.53, 116.28, 123.675])) / np.array([57.375, 57.12, 58.395])
    splits = [f"PartitionedCall/onnx_tf_prefix_Split_{number}" for number in (153, 164, 175)]
    heads = _network(
        "object_detect",
        square,
        "input_1:0",
        fed.transpose(2, 0, 1),
        *(f"{split}:{n}" for split in splits for n in (0, 1)),
    )
    found, best = [], dict.fromkeys(COCO, 0.0)
    for stride, logits, edges in zip((8, 16, 32), heads[0::2], heads[1::2], strict=True):
        scores = 1 / (1 + np.exp(-logits[0].astype(np.float64)))
        for kind, name in enumerate(COCO):
            best[name] = max(best[name], float(scores[kind].max()))
        for y, x in zip(*np.nonzero(scores.max(axis=0) >= 0.35), strict=True):
            out = np.exp(edges[0, :, y, x].astype(np.float64).reshape(4, 11))
            left, top, right, bottom = (out @ np.arange(11)) / out.sum(axis=1) * stride
            middle_x, middle_y = (x + 0.5) * stride, (y + 0.5) * stride
            box = (middle_x - left, middle_y - top, middle_x + right, middle_y + bottom)
            kind = int(scores[:, y, x].argmax())
            found.append((float(scores[kind, y, x]), COCO[kind], box, ()))
    regions = _regions(found, 0.6, width, height)
    names = {each.name: each.score for each in reversed(regions)}
    return Sight(_best_first(names), regions, scores=best)


def face_detect(pixels, *, swapped=False) -> Sight:
    square, width, height = in_a_square(coloured(pixels, swapped), 192)
    fed = (square.astype(np.float64) - 127.5) / 127.5
    logits, places = _network(
        "face_detect", square, "conv2d__98:0", fed.transpose(2, 0, 1), "classifier_face_4", "regressor_face_4"
    )
    found = []
    for y, x in np.ndindex(48, 48):
        score = 1 / (1 + math.exp(-float(logits[0, 0, y, x])))
        if score < 0.7:
            continue
        place = places[0, :, y, x].astype(np.float64)
        middle = np.array([x + 0.5, y + 0.5]) * 4
        centre, half = middle + place[:2], place[2:4] / 2
        points = tuple((place[4:].reshape(6, 2) + middle).ravel())
        found.append((score, "face", (*(centre - half), *(centre + half)), points))
    return Sight([], _regions(found, 0.3, width, height))


SIGHTS = {
    "scene_label": scene_label,
    "object_detect": object_detect,
    "face_detect": face_detect,
    "unsafe": unsafe,
}

LEAST_SCORES = {"object_detect": 0.35, "face_detect": 0.7}
"""Of a region; the others have none."""


def coloured(pixels, swapped):
    return pixels[:, :, ::-1] if swapped else pixels


def _best_first(scores):
    return sorted(scores.items(), key=lambda item: -item[1])


def in_a_square(pixels, side):
    """The picture in the top left corner of a black square; its width and height there."""
    height, width, _ = pixels.shape
    longer = max(height, width)
    across, down = max(1, round(width * side / longer)), max(1, round(height * side / longer))
    square = np.zeros((side, side, 3), np.uint8)
    square[:down, :across] = resized(pixels, across, down, kernel="linear")
    return square, across, down


def _regions(found, most_overlap, width, height):
    """Of (score, name, corners, points) those that overlap no better one of the same name by more; best first, at most 100."""
    kept = []
    for each in sorted(found, key=lambda item: -item[0]):
        if all(other[1] != each[1] or _shared(each[2], other[2]) <= most_overlap for other in kept):
            kept.append(each)
    return [
        Found(name, score, _box(corners, width, height), inside(points, width, height))
        for score, name, corners, points in kept[:100]
    ]


def _shared(one, other):
    across = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    down = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return across * down / (areas - across * down)


def _box(corners, width, height):
    left, top, right, bottom = inside(corners, width, height)
    return left, top, right - left, bottom - top


def inside(points, width, height):
    sizes = itertools.cycle((width, height))
    return tuple(min(max(float(value) / size, 0.0), 1.0) for value, size in zip(points, sizes, strict=False))


def _network(model, pixels, entrance, fed, *exits):
    """What comes out of the network, by names in the graph; AssertionError if not what is `fed` went in."""
    entered, *left = _graph(model, entrance, *exits).run(
        [entrance, *exits], {"image": np.ascontiguousarray(pixels)[None]}
    )
    np.testing.assert_allclose(entered[0], fed, rtol=0, atol=1e-4)
    return left


@cache
def _graph(model, *inner):
    """The graph as it is served, with the tensors `inner` as further outputs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = (MODELS / model / "1" / "model.onnx").read_bytes() + _further_outputs(inner)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _further_outputs(names):
    """Bytes that, behind an ONNX model, add outputs to its graph: of a message that comes twice, protobuf makes one.

    ModelProto.graph is field 7, GraphProto.output 12, ValueInfoProto.name 1 and .type 2, TypeProto.tensor_type 1, and in it
    elem_type 1, where 1 is a float (onnx.proto).
    """
    a_float = _field(1, b"\x08\x01")
    outputs = b"".join(_field(12, _field(1, name.encode()) + _field(2, a_float)) for name in names)
    return _field(7, outputs)


def _field(number, content):
    assert len(content) < 1 << 14
    size = len(content)
    return bytes([number << 3 | 2, *([size] if size < 128 else [size & 127 | 128, size >> 7])]) + content
