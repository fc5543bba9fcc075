"""Photos and edits of them to be hashed; tests/unit/agents/photo/golden_pdq.json has what pdqhash 0.2.8 makes of them.

pdqhash cannot be installed without a compiler, so it is no dependency. Made once, the file is to be made anew only with it:

    {f"{photo} {edit}": [np.packbits(bits).tobytes().hex(), quality] for … bits, quality = pdqhash.compute(pixels)}
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from agents.photo.decode import Picture, decode

SAMPLES = Path(__file__).parents[2] / "ops" / "samples"
PHOTOS = ("astronaut.jpg", "chelsea.png", "china.jpg", "coffee.jpg", "flower.jpg", "hubble.jpg", "rocket.jpg")
EDITS = {
    "as it is": lambda image: image,
    "small": lambda image: image.resize((image.width // 3, image.height // 3)),
    "64 by 64": lambda image: image.resize((64, 64)),
    "very wide": lambda image: image.resize((900, 9)),
    "dark": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    "with a border": lambda image: ImageOps.expand(image, 11, "white"),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(12)),
    "hardly to be seen": lambda image: ImageEnhance.Contrast(image).enhance(0.08),
}


def cases():
    """(photo, edit, Picture)."""
    for photo in PHOTOS:
        image = Image.fromarray(decode((SAMPLES / photo).read_bytes(), short_side=4000).pixels)
        for edit, change in EDITS.items():
            pixels = np.array(change(image))
            yield photo, edit, Picture(pixels, pixels.shape[1], pixels.shape[0], "image/png")
