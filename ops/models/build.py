# ruff: noqa: INP001 (no part of a package: run by whoever changes a model)
"""How the model.onnx files here were made of the networks that NOTICE names.

    pip install onnx    (which the project itself does not need; made with 1.23.2)
    python ops/models/build.py NAME SOURCE

The network stays as it is, weights bit by bit. Before it comes what makes its input of plain pixels (`image`: uint8, RGB, any
number of pictures), behind it what makes few numbers of many: clients send and get little, and have little to work out.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

SOURCES = {
    "object_detect": "a68641cf643cccd1cf1f7ea164d8c2b30f2cd12cc69755d389c4e7a2831fc8b3",
    "face_detect": "25f4f8d0c8693609cfe12bf62d5bfda7903fdb12171bc1b68dc5497cf4872ae0",
    "unsafe": "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
}
"""SHA-256 of what each was made of."""

CANDIDATES = 300
"""Places of a picture, most confident first, before what is seen twice is dropped; of our samples none has more than 11 above 0.35."""

FACES = 100
"""The same of faces."""


class Graph:
    """A model under change: nodes and constants to come before or behind those that it has."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.before: list[NodeProto] = []
        self.behind: list[NodeProto] = []
        self._count = 0

    def constant(self, values: np.ndarray) -> str:
        """Its name."""
        self._count += 1
        name = f"ours_{self._count}"
        self.model.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def add(self, where: list[NodeProto], kind: str, inputs: list[str], output: str = "", **attributes: object) -> str:
        """A node with one output; the output's name."""
        self._count += 1
        output = output or f"{kind.lower()}_{self._count}"
        where.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def take_pixels(
        self, target: str, *, minus: list[float], divided_by: list[float], blue_first: bool = False
    ) -> None:
        """`target`, channels first, of `image`; in the order that is fastest on a CPU (the reverse takes 20 ms for 416 by 416)."""
        value = self.add(self.before, "Transpose", ["image"], perm=[0, 3, 1, 2])
        if blue_first:
            value = self.add(self.before, "Gather", [value, self.constant(np.array([2, 1, 0]))], axis=1)
        value = self.add(self.before, "Cast", [value], to=TensorProto.FLOAT)
        value = self.add(self.before, "Sub", [value, self.constant(np.float32(minus).reshape(-1, 1, 1))])
        self.add(self.before, "Div", [value, self.constant(np.float32(divided_by).reshape(-1, 1, 1))], target)

    def finish(self, size: int, outputs: dict[str, list[int]]) -> None:
        """`image` as the input and these outputs, with the number of pictures open, and no node that none of them needs."""
        graph = self.model.graph
        made = {name for node in self.before for name in node.output}  # in place of what the network made of its input
        nodes = [*self.before, *(node for node in graph.node if not made.intersection(node.output)), *self.behind]
        needed, kept = set(outputs), []
        for node in reversed(nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        constants = [each for each in graph.initializer if each.name in needed]
        for field in ("node", "input", "output", "value_info", "initializer"):
            graph.ClearField(field)
        graph.node.extend(reversed(kept))
        graph.initializer.extend(constants)
        graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", size, size, 3]))
        graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape]) for name, shape in outputs.items()
        )
        onnx.checker.check_model(self.model, full_check=True)


def object_detect(model: ModelProto) -> ModelProto:
    """`scores`, `classes` and `boxes` (left, top, right, bottom in pixels) of the CANDIDATES most confident places.

    NanoDet predicts for each cell of three grids (strides 8, 16, 32) 80 scores and how far the edges of the box are from the
    cell's middle, each as a distribution over 0 to 10 strides (Generalized Focal Loss, arXiv:2006.04388).
    """
    size, strides, classes, bins = 416, (8, 16, 32), 80, 11
    it = Graph(model)
    # NanoDet's config, `normalize`: blue first, mean and standard deviation of its training set.
    it.take_pixels("input_1:0", minus=[103.53, 116.28, 123.675], divided_by=[57.375, 57.12, 58.395], blue_first=True)

    splits = [node for node in model.graph.node if node.op_type == "Split"]
    stride_of = {"PartitionedCall/onnx_tf_prefix_Split_153": 8, "PartitionedCall/onnx_tf_prefix_Split_164": 16}
    splits.sort(key=lambda node: stride_of.get(node.name, 32))
    flat = [it.constant(np.array([0, channels, -1])) for channels in (classes, 4 * bins)]
    heads = []
    for number, name in enumerate(("logits", "distances")):
        grids = [it.add(it.behind, "Reshape", [split.output[number], flat[number]]) for split in splits]
        heads.append(it.add(it.behind, "Concat", grids, name, axis=2))
    best = it.add(it.behind, "ReduceMax", [heads[0]], axes=[1], keepdims=0)
    kind = it.add(it.behind, "ArgMax", [heads[0]], axis=1, keepdims=0)
    top, index = "top", "index"
    it.behind.append(helper.make_node("TopK", [best, it.constant(np.array([CANDIDATES]))], [top, index]))
    it.add(it.behind, "Sigmoid", [top], "scores")
    kind = it.add(it.behind, "GatherElements", [kind, index], axis=1)
    it.add(it.behind, "Cast", [kind], "classes", to=TensorProto.FLOAT)

    rows = it.add(it.behind, "Unsqueeze", [index, it.constant(np.array([2]))])
    cells = it.add(it.behind, "Transpose", [heads[1]], perm=[0, 2, 1])
    cells = it.add(it.behind, "GatherND", [cells, rows], batch_dims=1)
    cells = it.add(it.behind, "Reshape", [cells, it.constant(np.array([0, 0, 4, bins]))])
    cells = it.add(it.behind, "Softmax", [cells], axis=3)
    cells = it.add(it.behind, "MatMul", [cells, it.constant(np.arange(bins, dtype=np.float32)[:, np.newaxis])])
    edges = it.add(it.behind, "Squeeze", [cells, it.constant(np.array([3]))])  # in strides
    stride = np.repeat(strides, [(size // each) ** 2 for each in strides]).astype(np.float32)
    middle = np.concatenate([_middles(size // each) * each for each in strides])
    outwards = np.float32([-1, -1, 1, 1]) * stride[:, np.newaxis]
    edges = it.add(it.behind, "Mul", [edges, it.add(it.behind, "Gather", [it.constant(outwards), index], axis=0)])
    corners = it.add(it.behind, "Gather", [it.constant(np.tile(middle, 2)), index], axis=0)
    it.add(it.behind, "Add", [corners, edges], "boxes")
    it.finish(size, {"scores": [CANDIDATES], "classes": [CANDIDATES], "boxes": [CANDIDATES, 4]})
    return model


def face_detect(model: ModelProto) -> ModelProto:
    """`scores`, and `faces` (middle x, y, width, height, then x, y of six points, in pixels), of the FACES most confident places.

    MediaPipe's network says where things are relative to the middles of a grid of 48 by 48 (face_detection_full_range_common.pbtxt).
    """
    size, grid = 192, 48
    it = Graph(model)
    it.take_pixels("conv2d__98:0", minus=[127.5], divided_by=[127.5])

    logits = it.add(it.behind, "Reshape", ["classifier_face_4", it.constant(np.array([0, grid * grid]))])
    top, index = "top", "index"
    it.behind.append(helper.make_node("TopK", [logits, it.constant(np.array([FACES]))], [top, index]))
    it.add(it.behind, "Sigmoid", [top], "scores")
    rows = it.add(it.behind, "Unsqueeze", [index, it.constant(np.array([2]))])
    # regressor_face_4__469:0 has the channels last.
    cells = it.add(it.behind, "Reshape", ["regressor_face_4__469:0", it.constant(np.array([0, grid * grid, 16]))])
    cells = it.add(it.behind, "GatherND", [cells, rows], batch_dims=1)
    anchors = np.zeros((grid * grid, 16), np.float32)
    middle = _middles(grid) * (size // grid)
    for point in (0, 4, 6, 8, 10, 12, 14):
        anchors[:, point : point + 2] = middle
    anchor = it.add(it.behind, "Gather", [it.constant(anchors), index], axis=0)
    it.add(it.behind, "Add", [cells, anchor], "faces")
    it.finish(size, {"scores": [FACES], "faces": [FACES, 16]})
    return model


def unsafe(model: ModelProto) -> ModelProto:
    """`probs`: of safe and of unsafe. Blue first, minus the mean of ImageNet (open_nsfw, classify_nsfw.py)."""
    it = Graph(model)
    it.take_pixels("conv_1/Conv2D__7:0", minus=[104, 117, 123], divided_by=[1], blue_first=True)
    it.add(it.behind, "Identity", ["outputs"], "probs")
    it.finish(224, {"probs": [2]})
    return model


def _middles(grid: int) -> np.ndarray:
    """x, y of each cell, row by row, in cells."""
    y, x = np.mgrid[:grid, :grid].astype(np.float32) + np.float32(0.5)
    return np.stack([x.ravel(), y.ravel()], axis=1)


BUILD: dict[str, Callable[[ModelProto], ModelProto]] = {
    "object_detect": object_detect,
    "face_detect": face_detect,
    "unsafe": unsafe,
}


def main() -> None:
    """One model, into its folder beside this file."""
    name, source = sys.argv[1], Path(sys.argv[2])
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if digest != SOURCES[name]:
        sys.exit(f"{source} has SHA-256 {digest}, and {name} was made of {SOURCES[name]}")
    model = BUILD[name](onnx.load(source))
    target = Path(__file__).parent / name / "1" / "model.onnx"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
