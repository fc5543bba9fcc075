"""How long a newcomer waits, how fast photos go through, and what the stack needs: prints ops/docs/bench.md.

    make bench > ops/docs/bench.md

Clones the project into an empty folder with an empty download cache, runs `make demo` there twice, then 500 photos of 2
megapixels made from the samples. Takes some minutes, and the downloads that `make demo` names.
"""

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from PIL import Image, ImageEnhance

from ops.publish import find_photos
from ops.stack.status import read_status

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "ops" / "samples"
PHOTOS = 500
WIDTH, HEIGHT = 1732, 1155  # 2 megapixels, 3:2
UNREADABLE = {"cut-short.jpg", "not-a-photo.jpg"}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        clone = folder / "safelight"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        say("first make demo, nothing there yet")
        first = demo(clone, folder / "first.json")
        say("second make demo")
        second = demo(clone, folder / "second.json")
        say(f"making {PHOTOS} photos")
        megabytes = make_photos(folder / "photos")
        say(f"{PHOTOS} photos")
        many = demo(clone, folder / "many.json", "--photos", folder / "photos")
        print(report(first, second, many, megabytes))


def demo(clone, figures, *arguments):
    """Wall seconds of the whole command, its figures, and the most memory that each server had."""
    words = ["--once", "--json", figures, "--page-port", "0", "--clickhouse-port", "0", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAFELIGHT_")}
    environment["SAFELIGHT_CACHE"] = str(clone.parent / "cache")
    began = time.monotonic()
    process = subprocess.Popen(
        ["make", "demo", f"ARGS={' '.join(map(str, words))}"],
        cwd=clone,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=sys.stderr,
    )
    memory = {}
    while process.poll() is None:
        for server in read_status(clone / ".safelight") or ():
            memory[server.name] = max(memory.get(server.name, 0), resident_bytes(server.pid))
        time.sleep(0.5)
    if process.returncode:
        sys.exit(f"make demo failed with {process.returncode}")
    return {"seconds": time.monotonic() - began, "figures": json.loads(figures.read_text()), "memory": memory}


def resident_bytes(pid):
    try:
        process = psutil.Process(pid)
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def make_photos(folder):
    """Photos that all differ, from the samples: cropped, mirrored, brightened, at random but always the same. Returns MB."""
    folder.mkdir()
    chance = random.Random(7)
    sources = [file.path for file in find_photos([SAMPLES]).photos if file.name not in UNREADABLE]
    for number in range(PHOTOS):
        with Image.open(sources[number % len(sources)]) as image:
            whole = image.convert("RGB")
        share = chance.uniform(0.6, 1.0)
        width, height = round(whole.width * share), round(whole.height * share)
        left, top = chance.randint(0, whole.width - width), chance.randint(0, whole.height - height)
        part = whole.crop((left, top, left + width, top + height)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        if chance.random() < 0.5:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        ImageEnhance.Brightness(part).enhance(chance.uniform(0.7, 1.3)).save(folder / f"{number:03}.jpg", quality=90)
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def report(first, second, many, megabytes):
    figures = many["figures"]
    lines = [
        "# Measured",
        "",
        "`make bench` prints this page. Ratios and orders of magnitude travel; absolute seconds are this machine's:",
        (
            f"{psutil.cpu_count()} cores of {cpu()}, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
            f"Python {platform.python_version()}, no GPU."
        ),
        "",
        "| `make demo` on a fresh clone | seconds, the whole command | e2e p50 s | e2e p99 s |",
        "|---|---|---|---|",
        row("first: downloads, set-up, start, 11 samples, stop", first),
        row("second: start, 11 samples, stop", second),
        "",
        (
            f"{PHOTOS} photos of {WIDTH * HEIGHT / 1e6:.0f} megapixels ({megabytes:.0f} MB), scene_label, published at once: "
            f"**{figures['photos_per_second']:.1f} photos/s** from the first upload until the last row could be queried "
            f"({figures['elapsed_seconds']:.1f} s; e2e p50 {figures['e2e_p50_seconds']:.1f} s, p99 {figures['e2e_p99_seconds']:.1f} s, "
            "most of it waiting in Kafka behind the others)."
        ),
        "",
        f"| process | most memory during the {PHOTOS} photos, MiB |",
        "|---|---|",
        *(f"| {name} | {size / 2**20:.0f} |" for name, size in many["memory"].items()),
        f"| together | {sum(many['memory'].values()) / 2**20:.0f} |",
    ]
    return "\n".join(lines)


def row(what, run):
    figures = run["figures"]
    return f"| {what} | {run['seconds']:.1f} | {figures['e2e_p50_seconds']:.2f} | {figures['e2e_p99_seconds']:.2f} |"


def cpu():
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return names[0] if names else platform.processor()


def say(what):
    print(what, file=sys.stderr)


if __name__ == "__main__":
    main()
