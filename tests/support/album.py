"""Photos with which what models say is held against references: the samples, and what is made of them."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

SAMPLES = Path(__file__).parents[2] / "ops" / "samples"

READABLE = (
    *("astronaut.jpg", "chelsea.png", "china-copy.jpg", "china.jpg"),
    *("coffee.jpg", "flower.jpg", "hubble.jpg", "rocket.jpg"),
)

_LARGE = ("astronaut.jpg", "chelsea.png", "china.jpg", "coffee.jpg", "flower.jpg")
_MEGAPIXELS = 8.5e6
_TURNED = {"astronaut.jpg": 6, "chelsea.png": 3, "coffee.jpg": 8}
_BACK = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def make(folder: Path) -> list[Path]:
    """All of them: samples; five of 8 megapixels and more, and one that shows several; three turned by EXIF; a large PNG.

    What is made has a caption, so that there is something to read, and one has a sign that hangs askew.
    """
    photos = [SAMPLES / name for name in READABLE]
    for name in _LARGE:
        image = _opened(name)
        scale = (_MEGAPIXELS / (image.width * image.height)) ** 0.5
        large = _captioned(_scaled(image, scale), f"large {Path(name).stem}, photo no. {len(photos)}")
        photos.append(_saved(large, folder / f"large-{Path(name).stem}.jpg"))
    for name, orientation in _TURNED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright = _captioned(_scaled(_opened(name), 2.2), f"turned by {orientation}")
        stored = upright.transpose(_BACK[orientation])
        photos.append(_saved(stored, folder / f"turned-{orientation}.jpg", exif=exif))
    photos.extend(
        (_saved(_company(), folder / "company.jpg"), _saved(_scaled(_opened("coffee.jpg"), 4), folder / "large.png"))
    )
    return photos


def _company() -> Image.Image:
    """Three portraits of different size, a cat and a cup: 12 megapixels."""
    portrait = _opened("astronaut.jpg").crop((110, 0, 366, 256))
    board = Image.new("RGB", (4000, 3000), "grey")
    for image, width, at in (
        (portrait, 1900, (0, 0)),
        (portrait, 1300, (2000, 0)),
        (portrait, 700, (3300, 100)),
        (_opened("chelsea.png"), 1900, (2050, 1500)),
        (_opened("coffee.jpg"), 1100, (2850, 750)),
    ):
        board.paste(_scaled(image, width / image.width), at)
    sign = Image.new("RGB", (1500, 500), "white")
    ImageDraw.Draw(sign).text((100, 130), "MIND THE STEP", font=ImageFont.load_default(170), fill="black")
    board.paste(sign.rotate(14, expand=True, fillcolor="grey"), (450, 2000))
    return board


def _captioned(image: Image.Image, words: str) -> Image.Image:
    size = image.height // 24
    ImageDraw.Draw(image).text(
        (size, 22 * size), words, font=ImageFont.load_default(size), fill="white", stroke_width=2, stroke_fill="black"
    )
    return image


def _opened(name: str) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(SAMPLES / name)).convert("RGB")


def _scaled(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def _saved(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, quality=90, **options)
    return path
