"""What the model text ought to say of a photo, worked out another way: as tests/support/reference_sight.py does for the others.

The rules, as ops/docs/models.md has them. A line is pixels above 0.3 that touch, corners too, with a mean of 0.5 and more; the
smallest rectangle around them, 3 pixels and more on each side, grows on all sides by 1.6 times its area over its
circumference. Of those the 32 surest are read, 48 pixels high, until what was read is 10240 pixels wide, shorter ones counted as 320;
what is read below 0.9 is read from the other end too. Points are complex numbers here, x + iy.
"""

import itertools
from functools import cache

import numpy as np
import onnxruntime

from tests.support.reference_sight import MODELS, Found, Sight, coloured, in_a_square, inside

SIDE = 960


def text(pixels, *, swapped=False) -> Sight:
    square, width, height = in_a_square(coloured(pixels, swapped), SIDE)
    picture = square[:height, :width].astype(np.float64)
    left, regions = 32 * 320, []
    for _, *sides in sorted(_lines(_map(square, width, height)), key=lambda line: -line[0])[:32]:
        best = (0.0, "", ())
        start, along, across = sides
        for way in ((start, along, across), (start + along + across, -along, -across)):
            shown = _shown(picture, *way)
            left -= shown.shape[3]
            if left < 0:
                break
            score, written = _read(shown)
            if score > best[0]:
                best = (score, written, way)
            if score >= 0.9:
                break
        if best[0] >= 0.5 and best[1]:
            regions.append(_found(*best, width, height))
    return Sight([], sorted(regions, key=lambda each: -each.score))


def _found(score, written, way, width, height):
    start, along, across = way
    corners = (start, start + along, start + along + across, start + across)
    points = inside([part for corner in corners for part in (corner.real, corner.imag)], width, height)
    left, top, right, bottom = min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])
    return Found("text", score, (left, top, right - left, bottom - top), points, written)


def _map(square, width, height):
    down, across = (max(1, -(-side // 32)) * 32 for side in (height, width))
    fed = square[:down, :across, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
    return _graph("detect").run(None, {"x": np.ascontiguousarray(fed)})[0][0, 0, :height, :width]


def _lines(probabilities):
    """(score, start, along, across) of each."""
    left = set(map(tuple, np.argwhere(probabilities > 0.3).tolist()))
    while left:
        pixels, edge = [], [left.pop()]
        while edge:
            y, x = edge.pop()
            pixels.append((y, x))
            near = {(y + down, x + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= near
            edge.extend(near)
        start, along, across = _around(pixels)
        length, depth = abs(along), abs(across)
        score = float(np.mean([probabilities[pixel] for pixel in pixels]))
        if score < 0.5 or min(length, depth) < 3:
            continue
        grown = 1.6 * length * depth / (2 * length + 2 * depth)
        start -= grown * (along / length + across / depth)
        along *= 1 + 2 * grown / length
        across *= 1 + 2 * grown / depth
        if abs(across) >= 1.5 * abs(along):  # written downwards
            start, along, across = start + along, across, -along
        yield score, start, along, across


def _around(pixels):
    """The smallest rectangle around them: its start, then the side that goes to the right, then the one that goes down."""
    rows = {}
    for y, x in pixels:
        rows.setdefault(y, []).append(x)
    ends = [(y, end(columns)) for y, columns in rows.items() for end in (min, max)]
    corners = {complex(x + right, y + down) for y, x in ends for right in (0, 1) for down in (0, 1)}
    hull = _wrapped(np.array(list(corners)))
    smallest = None
    for one, two in itertools.pairwise([*hull, hull[0]]):
        way = (two - one) / abs(two - one)
        turned = np.array(hull) / way
        wide, high = np.ptp(turned.real), np.ptp(turned.imag)
        if smallest is None or wide * high < smallest[0] - 1e-9:
            start = complex(turned.real.min(), turned.imag.min())
            smallest = (wide * high, start * way, wide * way, high * 1j * way)
    _, start, one, two = smallest
    if abs(one.real) / abs(one) < abs(two.real) / abs(two):
        one, two = two, one
    if one.real < 0:
        start, one = start + one, -one
    if two.imag < 0:
        start, two = start + two, -two
    return start, one, two


def _wrapped(points):
    """Their convex hull, wrapped like a gift."""
    first = min(points, key=lambda point: (point.real, point.imag))
    hull, now = [], first
    while True:
        hull.append(now)
        others = points[points != now]
        following = others[0]
        while True:
            side = ((following - now).conjugate() * (others - now)).imag
            outside = others[(side < -1e-9) | ((abs(side) < 1e-9) & (abs(others - now) > abs(following - now) + 1e-9))]
            if not len(outside):
                break
            following = outside[0]
        now = following
        if now == first:
            return hull


def _shown(picture, start, along, across):
    """[1, 3, 48, width] of what is between the sides, blue first."""
    width = int(min(max(np.ceil(48 * abs(along) / abs(across)), 1), 1280))
    fine = int(min(max(np.ceil(max(abs(across) / 48, abs(along) / width)), 1), 4))
    total = 0.0
    for down, right in np.ndindex(fine, fine):
        y = (np.arange(48)[:, None] + (down + 0.5) / fine) / 48
        x = (np.arange(width)[None] + (right + 0.5) / fine) / width
        total = total + _between(picture, start + x * along + y * across)
    shown = np.zeros((1, 3, 48, max(width, 320)), np.float32)
    shown[0, :, :, :width] = np.moveaxis(total / fine**2 / 127.5 - 1, 2, 0)[::-1]
    return shown


def _between(picture, places):
    """Bilinear, where a pixel's colour is that of its middle."""
    height, width, _ = picture.shape
    x, y = np.clip(places.real - 0.5, 0, width - 1), np.clip(places.imag - 0.5, 0, height - 1)
    values = 0.0
    for down, right in np.ndindex(2, 2):
        row, column = np.floor(y) + down, np.floor(x) + right
        weight = np.clip(1 - abs(y - row), 0, 1) * np.clip(1 - abs(x - column), 0, 1)
        row, column = np.minimum(row, height - 1).astype(int), np.minimum(column, width - 1).astype(int)
        values = values + weight[..., None] * picture[row, column]
    return values


def _read(shown):
    [[steps]] = _graph("recognise").run(None, {"x": shown})
    best = [(int(step.argmax()), float(step.max())) for step in steps]
    new = [next(group) for _, group in itertools.groupby(best, key=lambda each: each[0])]
    letters = [(_letters()[kind - 1], sure) for kind, sure in new if kind]
    if not letters:
        return 0.0, ""
    return float(np.mean([sure for _, sure in letters])), "".join(letter for letter, _ in letters[:160]).strip()


@cache
def _letters():
    return [*_graph("recognise").get_modelmeta().custom_metadata_map["character"].split("\n"), " "]


@cache
def _graph(name):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = MODELS / "text" / "1" / f"{name}.onnx"
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
