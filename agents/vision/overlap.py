"""Boxes that mean the same thing: of those that overlap, the most confident stays (greedy non-maximum suppression)."""

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.floating]
"""[n, 4]: left, top, right, bottom."""


def distinct(boxes: Boxes, *, most_overlap: float) -> list[int]:
    """Which to keep of boxes that come most confident first; in this order.

    `most_overlap`: of two that both stay, intersection over union.
    """
    kept: list[int] = []
    for index, box in enumerate(boxes):
        if not kept or _overlap(box, boxes[kept]).max() <= most_overlap:
            kept.append(index)
    return kept


def _overlap(box: npt.NDArray[np.floating], others: Boxes) -> npt.NDArray[np.floating]:
    """Intersection over union of the box with each other; 0 where one of them is empty."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.clip(sides, 0, None).prod(axis=1)
    either = _area(box[np.newaxis]) + _area(others) - shared
    overlap: npt.NDArray[np.floating] = np.divide(shared, either, out=np.zeros_like(shared), where=shared > 0)
    return overlap


def _area(boxes: Boxes) -> npt.NDArray[np.floating]:
    area: npt.NDArray[np.floating] = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    return area
