"""How long a newcomer waits, how fast photos go through, and what the stack needs: `make bench`, on ops/docs/bench.md.

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
from tests.bench import page

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "ops" / "samples"
PHOTOS = 500
WIDTH, HEIGHT = 1732, 1155  # 2 megapixels, 3:2
_E2E = ("e2e_p50_seconds", "e2e_p99_seconds")
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
        measured = report(first, second, many, megabytes)
    (page.DOCS / "reports" / "first_light.json").write_text(json.dumps(measured, indent=1) + "\n")
    page.main()


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
    """What tests/bench/page.py puts on the page."""
    return {
        "machine": f"{psutil.cpu_count()} cores of {cpu()}, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"Python {platform.python_version()}, no GPU",
        "first": _of_run(first),
        "second": _of_run(second),
        "many": {
            "photos": PHOTOS,
            "megapixels": WIDTH * HEIGHT / 1e6,
            "megabytes": megabytes,
            **{name: many["figures"][name] for name in (*_E2E, "photos_per_second", "elapsed_seconds")},
            "memory_bytes": many["memory"],
        },
    }


def _of_run(run):
    return {"seconds": run["seconds"], **{name: run["figures"][name] for name in _E2E}}


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
