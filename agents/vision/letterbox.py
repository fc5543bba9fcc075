"""A whole picture in a square that a model takes: fitted into its top left corner, black beside or below it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from agents.photo.decode import Pixels
from agents.vision.model import Frame


def letterbox(pixels: Pixels, side: int) -> Pixels:
    """[1, side, side, 3]."""
    height, width, _ = pixels.shape
    box = Box.of(Frame(width, height), side)
    square = np.zeros((1, side, side, 3), np.uint8)
    resized = Image.fromarray(pixels).resize(box, Image.Resampling.BILINEAR)
    square[0, : box.height, : box.width] = np.asarray(resized)
    return square


class Box(NamedTuple):
    """What part of the square, in pixels from its top left corner, is the picture."""

    width: int
    height: int

    @classmethod
    def of(cls, frame: Frame, side: int) -> "Box":
        """Of a picture in a square of that side."""
        scale = side / max(frame)
        return cls(max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))

    def fractions(self, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """[…, 2]: x, y of points in the square, as fractions of the picture; what lies outside, moved to its edge."""
        return np.clip(points / np.array(self, np.float64), 0.0, 1.0)
