# ruff: noqa: INP001 (no part of a package: Triton loads it beside model.py)
"""Lines of text: where they are in a map of probabilities, what of the picture they are, and which characters were read.

As PP-OCR does it (Real-time Scene Text Detection with Differentiable Binarization, arXiv:1911.08947), with the thresholds of
RapidOCR 3.10 (config.yaml); in numpy alone, since nothing else is here.
"""

from dataclasses import dataclass

import numpy as np

_LEAST_PROBABILITY = 0.3  # of a pixel
_LEAST_SCORE = 0.5  # of a line: the mean of its pixels
_GROWTH = 1.6  # the network marks the middle of a line
_LEAST_SIDE = 3.0  # pixels, before it grows
_TALL = 1.5  # times as high as wide: written downwards

HEIGHT = 48
"""Pixels of a line, as it is read."""

_WIDTHS = (320, 1280)
"""A shorter line is padded, a longer one squeezed."""

_FINEST = 4
"""Samples a pixel of what is read, along and across: more for letters that fill the picture would take half a second."""


@dataclass(frozen=True)
class Line:
    """A rectangle: where the text begins along its upper edge, along the text, across it downwards; in pixels."""

    score: float
    origin: np.ndarray
    along: np.ndarray
    across: np.ndarray

    @property
    def corners(self) -> np.ndarray:
        """[4, 2], from the origin along the text, and round."""
        return self.origin + np.stack([0 * self.along, self.along, self.along + self.across, self.across])

    def turned(self) -> "Line":
        """The same, read from its other end."""
        return Line(self.score, self.origin + self.along + self.across, -self.along, -self.across)


def find_lines(probabilities: np.ndarray) -> list[Line]:
    """The lines of a map [height, width], the surest first."""
    lines = [_line(runs, probabilities) for runs in _components(probabilities > _LEAST_PROBABILITY)]
    return sorted((line for line in lines if line), key=lambda line: -line.score)


def cut_out(picture: np.ndarray, line: Line) -> np.ndarray:
    """The line, HEIGHT pixels high, as the reading network takes it: [1, 3, HEIGHT, width], blue first, -1 to 1, padded with 0."""
    length, depth = np.linalg.norm(line.along), np.linalg.norm(line.across)
    width = int(np.clip(np.ceil(HEIGHT * length / depth), 1, _WIDTHS[1]))
    # So many samples a pixel that none of the picture is passed over.
    fine = int(np.clip(np.ceil(max(depth / HEIGHT, length / width)), 1, _FINEST))
    across = (np.arange(HEIGHT * fine) + 0.5)[:, None, None] / (HEIGHT * fine) * line.across
    along = (np.arange(width * fine) + 0.5)[None, :, None] / (width * fine) * line.along
    samples = _sampled(picture, line.origin + along + across)
    pixels = samples.reshape(HEIGHT, fine, width, fine, 3).mean(axis=(1, 3))
    padded = np.zeros((1, 3, HEIGHT, max(_WIDTHS[0], width)), np.float32)
    padded[0, :, :, :width] = (pixels[:, :, ::-1] / 127.5 - 1).transpose(2, 0, 1)
    return padded


def read_line(probabilities: np.ndarray) -> tuple[np.ndarray, float]:
    """Characters of [steps, kinds], kind 0 being none: a kind that stays is one character (CTC). And their mean probability."""
    kinds, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    new = np.append(True, kinds[1:] != kinds[:-1]) & (kinds != 0)
    return kinds[new], float(sure[new].mean()) if new.any() else 0.0


def _components(mask: np.ndarray) -> list[np.ndarray]:
    """Pixels that touch, corners too: of each component its runs, [n, 3] of row, first and behind the last column."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    (rows, starts), ends = np.nonzero(edges == 1), np.nonzero(edges == -1)[1]
    belongs = list(range(len(rows)))

    def first(run: int) -> int:
        while belongs[run] != run:
            belongs[run] = run = belongs[belongs[run]]
        return run

    above = 0
    for run in range(len(rows)):
        while rows[above] < rows[run] - 1 or (rows[above] == rows[run] - 1 and ends[above] < starts[run]):
            above += 1
        other = above
        while rows[other] == rows[run] - 1 and starts[other] <= ends[run]:
            belongs[first(run)] = first(other)
            other += 1
    runs = np.stack([rows, starts, ends], axis=1)
    names = np.array([first(run) for run in range(len(rows))], np.int64)
    return [runs[names == name] for name in np.unique(names)]


def _line(runs: np.ndarray, probabilities: np.ndarray) -> Line | None:
    """None: too small, or not sure enough."""
    score = float(np.concatenate([probabilities[row, start:end] for row, start, end in runs]).mean())
    origin, along, across = _rectangle(runs)
    length, depth = np.linalg.norm(along), np.linalg.norm(across)
    if score < _LEAST_SCORE or min(length, depth) < _LEAST_SIDE:
        return None
    more = _GROWTH * length * depth / (2 * (length + depth))
    origin = origin - more * (along / length + across / depth)
    along, across = along * (1 + 2 * more / length), across * (1 + 2 * more / depth)
    if np.linalg.norm(across) >= _TALL * np.linalg.norm(along):
        origin, along, across = origin + along, across, -along
    return Line(score, origin, along, across)


def _rectangle(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The smallest around all pixels; one of its sides lies on their hull. Its side that is nearest to the right is along."""
    rows, first = np.unique(runs[:, 0], return_index=True)  # runs are in order of rows
    left, right = np.minimum.reduceat(runs[:, 1], first), np.maximum.reduceat(runs[:, 2], first)
    corners = {
        point
        for down in (0, 1)
        for x in (left, right)
        for point in zip(x.tolist(), (rows + down).tolist(), strict=True)
    }
    hull = _hull(sorted(corners))
    sides = np.roll(hull, -1, axis=0) - hull
    sides /= np.linalg.norm(sides, axis=1, keepdims=True)
    normals = np.stack([-sides[:, 1], sides[:, 0]], axis=1)
    along, across = hull @ sides.T, hull @ normals.T  # of each point, by each side
    best = int(np.argmin(np.ptp(along, axis=0) * np.ptp(across, axis=0)))
    axes = np.stack([sides[best], normals[best]])
    if abs(axes[0, 0]) < abs(axes[1, 0]):
        axes = axes[::-1]
    axes = axes * np.array([[np.sign(axes[0, 0])], [np.sign(axes[1, 1])]])
    places = hull @ axes.T
    low, high = places.min(axis=0), places.max(axis=0)
    return low @ axes, (high[0] - low[0]) * axes[0], (high[1] - low[1]) * axes[1]


Point = tuple[int, int]


def _hull(points: list[Point]) -> np.ndarray:
    """Of points in order of x, then y (Andrew's monotone chain)."""

    def half(order: list[Point]) -> list[Point]:
        chain: list[Point] = []
        for point in order:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        return chain[:-1]

    return np.array(half(points) + half(points[::-1]), np.float64)


def _turn(one: Point, two: Point, three: Point) -> int:
    return (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])


def _sampled(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The picture at places [.., 2], x and y, where its first pixel covers 0 to 1: bilinear, beyond its edges what is on them."""
    height, width, _ = picture.shape
    places = np.clip(places - 0.5, 0, [width - 1, height - 1])
    low = np.minimum(places.astype(np.int64), [max(0, width - 2), max(0, height - 2)])
    part = places - low
    x, y = low[..., 0], low[..., 1]
    right, down = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    part_x, part_y = part[..., :1], part[..., 1:]
    upper = picture[y, x] * (1 - part_x) + picture[y, right] * part_x
    lower = picture[down, x] * (1 - part_x) + picture[down, right] * part_x
    return upper * (1 - part_y) + lower * part_y
