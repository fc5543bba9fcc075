"""Photos as pixels, as the decoding is documented and as they are; shares no code with agents.

Documented (agents/photo/decode.py): a JPEG is decoded at 1/8, 1/4 or 1/2 if its shorter side then has at least so many pixels;
what is left to be divided by a whole number is averaged; colours become sRGB's; then it is turned as EXIF says.
"""

import io

import numpy as np
from PIL import Image, ImageCms


def documented(photo, short_side):
    """[height, width, 3] of bytes."""
    with Image.open(photo) as image:
        orientation = image.getexif().get(0x0112, 1)
        if image.format == "JPEG":
            by = max(scale for scale in (1, 2, 4, 8) if scale == 1 or min(image.size) // scale >= short_side)
            image.draft("RGB", (image.width // by, image.height // by))
        pixels = _averaged(np.asarray(image.convert("RGB")), max(1, min(image.size) // short_side))
        return _turned(_srgb(pixels, image), orientation)


def whole(photo):
    """[height, width, 3] of bytes, every pixel of them."""
    with Image.open(photo) as image:
        return _turned(_srgb(np.asarray(image.convert("RGB")), image), image.getexif().get(0x0112, 1))


def resized(pixels, width, height, *, kernel, box=None):
    """As Pillow does it, to the bit: along and down, in fixed point, each rounded to bytes.

    `kernel`: "linear" or "cubic"; `box`: what part of the picture, (left, top, right, bottom). Down comes first where the picture
    is made shorter, and by more than twice as much as narrower (seen of Pillow 13.0).
    """
    left, top, right, bottom = box or (0, 0, pixels.shape[1], pixels.shape[0])
    columns = _weights(pixels.shape[1], left, right, width, kernel)
    rows = _weights(pixels.shape[0], top, bottom, height, kernel)
    passes = [("wx,yxc->ywc", columns), ("hy,yxc->hxc", rows)]
    lost_along, lost_down = pixels.shape[1] - width, pixels.shape[0] - height
    if lost_down > max(0, 2 * lost_along):
        passes.reverse()
    values = pixels.astype(np.float64)
    for subscripts, weights in passes:
        values = _bytes(np.einsum(subscripts, weights, values, optimize=True))
    return values.astype(np.uint8)


_ONE = 1 << 22
_KERNELS = {
    "linear": (1, lambda x: 1 - x),
    # Keys 1981, a = -0.5
    "cubic": (2, lambda x: np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2)),
}


def _weights(size, start, end, wanted, kernel):
    """[wanted, size] of whole numbers, about _ONE a row; exact in sums of floats, which are far below 2^53."""
    reach, shape = _KERNELS[kernel]
    scale = (end - start) / wanted
    wide = max(scale, 1.0)
    weights = np.zeros((wanted, size))
    for index in range(wanted):
        middle = start + (index + 0.5) * scale
        first = max(0, int(middle - reach * wide + 0.5))
        last = min(size, int(middle + reach * wide + 0.5))
        distance = np.abs((np.arange(first, last) - middle + 0.5) * (1 / wide))
        values = np.where(distance < reach, shape(distance), 0.0)
        weights[index, first:last] = values / values.sum()
    return np.trunc(weights * _ONE + np.copysign(0.5, weights))


def _bytes(sums):
    return np.clip(np.floor((sums + _ONE / 2) / _ONE), 0, 255)


def _averaged(pixels, by):
    """Over squares of `by` pixels; at the far edges over what there is."""
    if by == 1:
        return pixels
    height, width, _ = pixels.shape
    rows, columns = np.arange(0, height, by), np.arange(0, width, by)
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.int64), rows, axis=0), columns, axis=1)
    counts = np.diff(np.append(rows, height))[:, None, None] * np.diff(np.append(columns, width))[None, :, None]
    return ((sums + counts // 2) * ((1 << 24) // counts) >> 24).astype(np.uint8)  # Pillow's division, in fixed point


def _srgb(pixels, image):
    profile = image.info.get("icc_profile")
    if not profile:
        return pixels
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(ImageCms.profileToProfile(Image.fromarray(pixels), source, ImageCms.createProfile("sRGB")))


def from_adobe_rgb(pixels: np.ndarray) -> np.ndarray:
    """sRGB (IEC 61966-2-1) of Adobe RGB (1998), by the two standards' own figures."""
    to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
    from_xyz = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    linear = np.clip((pixels / 255) ** 2.19921875 @ (from_xyz @ to_xyz).T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _turned(pixels, orientation):
    return np.rot90(pixels, {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
