"""What a model is to safelight: one declaration, in a file of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from agents.photo.decode import Picture
from schemas.events import ModelResult

Tensor: TypeAlias = npt.NDArray[np.uint8 | np.float32]
Inputs: TypeAlias = Mapping[str, Tensor]
Tensors: TypeAlias = Mapping[str, npt.NDArray[np.float32]]
"""Inputs and outputs, by their names in the model's config.pbtxt; the first dimension counts photos and is 1.

Pixels travel as bytes, a quarter of what they are as floats, and become floats in the model's graph.
"""


class Frame(NamedTuple):
    """Size, in pixels, of the picture that a model's inputs were made of: the photo upright, and smaller where that serves."""

    width: int
    height: int


def frame_of(picture: Picture) -> Frame:
    """The frame of what models are shown of it."""
    height, width, _ = picture.pixels.shape
    return Frame(width, height)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that Triton serves, and how a photo is shown to it.

    `name` and `version` are Triton's. `short_side`: how many pixels the shorter side of a picture must have for it at
    least (a smaller photo comes as it is). `outputs`: name and shape of each output for one photo. `prepare` makes the
    inputs; `read` makes sense of outputs whose shapes are right and which are all finite numbers, by the frame
    where it says where things are.
    """

    name: str
    version: str
    short_side: int
    outputs: Mapping[str, tuple[int, ...]]
    prepare: Callable[[Picture], Inputs]
    read: Callable[[Tensors, Frame], ModelResult]
