"""PDQ: 256 bits of which nearly the same pictures share most (Meta, The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm, 2019).

Luma, smoothed by two passes of a box filter along each side (nearly Jarosz' tent), sampled at 64 by 64 points; of its discrete
cosine transform the 16 by 16 lowest frequencies without the constant; a bit is whether one is above their median. Within 31 bits
of each other two pictures count as nearly the same.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from agents.photo.decode import Picture

Floats: TypeAlias = npt.NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_SAMPLES = 64
_FREQUENCIES = 16
_PASSES = 2
_SMALLEST = 5  # sides with fewer pixels are not hashed
_GOOD = 50
_BEST = 100


@dataclass(frozen=True, slots=True)
class Pdq:
    """`bits`: 32 bytes, as the reference writes them in hexadecimal. `quality`: 0 to 100, how much there is to be told apart."""

    bits: bytes
    quality: int

    @property
    def good(self) -> bool:
        """Whether the bits tell pictures apart. Those of an even surface do not, and are near to much."""
        return self.quality >= _GOOD


def pdq(picture: Picture) -> Pdq:
    """Costs by the pixel: 3 ms at 256 by 256. A picture that is small already has about the same bits."""
    if min(picture.pixels.shape[:2]) < _SMALLEST:
        return Pdq(bytes(_FREQUENCIES * _FREQUENCIES // 8), 0)
    samples = _sampled(picture.pixels @ _LUMA)
    frequencies = _DCT @ samples @ _DCT.T
    above = frequencies > np.partition(frequencies, _MIDDLE, axis=None)[_MIDDLE]
    return Pdq(np.packbits(above.reshape(-1)[::-1]).tobytes(), _quality(samples))


def distance(one: bytes, other: bytes) -> int:
    """In how many bits two hashes differ, 0 to 256."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


_MIDDLE = (_FREQUENCIES * _FREQUENCIES - 1) // 2
"""Of an even number of values the lower one in the middle is the reference's median."""


def _dct() -> Floats:
    """The rows of the discrete cosine transform (DCT-II) for the frequencies 1 to 16."""
    frequency = np.arange(1, _FREQUENCIES + 1)[:, np.newaxis]
    place = 2 * np.arange(_SAMPLES) + 1
    rows: Floats = (np.sqrt(2 / _SAMPLES) * np.cos(np.pi / 2 / _SAMPLES * frequency * place)).astype(np.float32)
    return rows


_DCT = _dct()


def _sampled(luma: Floats) -> Floats:
    """Smoothed so far that 64 by 64 points stand for all: in the middle of as many equal parts."""
    if luma.shape == (_SAMPLES, _SAMPLES):
        return luma
    for _ in range(_PASSES):
        for axis in (1, 0):
            luma = _box_filtered(luma, axis)
    rows, columns = (((np.arange(_SAMPLES) + 0.5) * size / _SAMPLES).astype(int) for size in luma.shape)
    sampled: Floats = luma[rows][:, columns]
    return sampled


def _box_filtered(luma: Floats, axis: int) -> Floats:
    """Each value's mean with its neighbours along an axis: in a window of a 128th of the whole, which the edges cut off.

    Added up one neighbour at a time: windows are a few pixels, of which running sums would cost more.
    """
    luma = np.moveaxis(luma, axis, 0)
    size = len(luma)
    window = -(-size // (2 * _SAMPLES))
    ahead = (window + 2) // 2
    behind = window - ahead
    sums, counts = np.zeros_like(luma), np.zeros(size, np.float32)
    for shift in range(-behind, ahead):
        to, of = slice(max(-shift, 0), size - max(shift, 0)), slice(max(shift, 0), size + min(shift, 0))
        sums[to] += luma[of]
        counts[to] += 1
    filtered: Floats = np.moveaxis(sums / counts[:, np.newaxis], 0, axis)
    return filtered


def _quality(samples: Floats) -> int:
    """From the differences between neighbours, in whole per cents of the range, each cut off towards 0."""
    differences = (np.diff(samples, axis=axis) * np.float32(100) / np.float32(255) for axis in (0, 1))
    total = sum(int(np.abs(difference.astype(int)).sum()) for difference in differences)
    return min(total // 90, _BEST)
