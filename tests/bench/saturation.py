"""How near the whole pipeline comes to a bare script that does nothing but look at photos: `safelight bench saturation`.

On an embedded stack, in turn, on the same photos and models, several times:

- **bare**: a script that reads the files, decodes them in as many processes as there are processors, and asks Triton with
  tritonclient.grpc.aio at the number of requests in flight that a sweep found best. It verifies nothing, remembers nothing, writes
  nothing.
- **whole**: the events of the photos are published to photos.events, all at once; the time runs until ClickHouse has every photo's
  row, looked for ten times a second. Between the two: admit, enrich with fetch, SHA-256, decoder processes with limits, EXIF, PDQ and
  sharpness, group, store, transactions and metrics.

Each run of either has contents of its own (a few bytes behind the end of each JPEG), so that nothing is known already; a third of
the events of a run of its own are copies, across owners and inside a batch, to count the calls that they cost. Triton alone, on
tensors that are ready, at the same number in flight, says what neither can exceed.

`--json FILE` writes for each set of models: `models`, `photos`, `sweep` {in flight: photos/s}, `triton_alone` (photos/s), `pairs`,
a list of {bare, whole: photos/s, ratio}, `ratio`, their median, `cpu_ms` {stage: ms a photo in the whole pipeline}, `copies`
{events, contents, calls a model, calls_per_content}.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import psutil
from PIL import Image
from tritonclient.grpc import InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient

from agents.photo.decode import decode
from agents.vision.model import Inputs, Model
from agents.vision.models import MODELS
from agents.vision.triton import request
from ops.database import database
from ops.stack.embedded import Embedded
from ops.stack.process import Server
from ops.stack.status import read_status
from ops.stack.triton import Triton
from schemas.events import PhotoUploaded
from schemas.topics import EVENTS
from streams.producer import PhotoProducer
from streams.settings import Settings
from tests.bench.admit import machine
from tests.bench.first_light import UNREADABLE

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "ops" / "samples"
MEGAPIXELS = (2, 4, 8, 12)
SWEEP = (4, 8, 12, 16, 24, 32)
_PATIENCE_SECONDS = 600


def main(arguments: list[str]) -> int:
    """Run it; 1 when photos were not seen."""
    parser = argparse.ArgumentParser(
        prog="safelight bench saturation", description="the pipeline against a bare script"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--pairs", type=int, default=5, help="how often each side runs")
    parser.add_argument("--photos", type=int, default=400, help="how many photos each run looks at")
    parser.add_argument(
        "--models", action="append", metavar="NAMES", help="comma separated; may be given several times"
    )
    options = parser.parse_args(arguments)
    sets = [names.split(",") for names in options.models or [",".join(Settings().models), "scene_label"]]
    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as scratch:
        say("making photos")
        album = Album(Path(scratch) / "album")
        runs = [Bench(Path(scratch) / str(n), album, names, options.photos) for n, names in enumerate(sets)]
        figures = {"machine": machine(), "megapixels": MEGAPIXELS, "sets": [run.figures(options.pairs) for run in runs]}
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


class Album:
    """Large photos, made of the samples; `contents` gives as many different files as are wanted, each as dear to decode."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        chance = random.Random(7)
        sources = [path for path in sorted(SAMPLES.glob("*.*g")) if path.name not in UNREADABLE]
        self._jpegs = []
        for number in range(4 * len(MEGAPIXELS)):
            with Image.open(sources[number % len(sources)]) as image:
                whole = image.convert("RGB")
            scale = (MEGAPIXELS[number % len(MEGAPIXELS)] * 1e6 / (whole.width * whole.height)) ** 0.5
            size = round(whole.width * scale), round(whole.height * scale)
            path = folder / f"{number}.jpg"
            whole.resize(size, Image.Resampling.BICUBIC).rotate(chance.uniform(-2, 2)).save(path, quality=90)
            self._jpegs.append(path.read_bytes())

    def fill(self, folder: Path, count: int) -> list[Path]:
        """So many photos in a folder, no two of any folder alike."""
        folder.mkdir(parents=True)
        paths = [folder / f"{number}.jpg" for number in range(count)]
        for number, path in enumerate(paths):
            path.write_bytes(self._jpegs[number % len(self._jpegs)] + os.urandom(16))
        return paths


class Bench:
    """The measurements with some models. Only one side's servers run at a time."""

    def __init__(self, folder: Path, album: Album, models: Sequence[str], photos: int) -> None:
        self._folder = folder
        self._album = album
        self._models = [MODELS[name] for name in models]
        self._photos = photos
        self._runs = count()

    def figures(self, pairs: int) -> dict[str, Any]:
        """The part of `--json` for these models."""
        names = [model.name for model in self._models]
        say(f"{', '.join(names)}: looking for the best number of requests in flight")
        sweep, alone = self._sweep()
        best = max(sweep, key=lambda in_flight: sweep[in_flight])
        done, cpu = [], []
        for number in range(pairs):
            pair: dict[str, Any] = {}
            for side in ("bare", "whole") if number % 2 == 0 else ("whole", "bare"):
                if side == "bare":
                    pair["bare"] = self._bare(best)
                else:
                    pair["whole"], cpu_ms = self._whole()
                    cpu.append(cpu_ms)
            pair["ratio"] = pair["whole"] / pair["bare"]
            say(f"pair {number + 1}: {pair['bare']:.1f} and {pair['whole']:.1f} photos/s, ratio {pair['ratio']:.2f}")
            done.append(rounded(pair))
        say("a third copies")
        return {
            "models": names,
            "photos": self._photos,
            "sweep": rounded(sweep),
            "in_flight": best,
            "triton_alone": round(alone, 2),
            "pairs": done,
            "ratio": round(median(pair["ratio"] for pair in done), 3),
            "cpu_ms": rounded({stage: median(each[stage] for each in cpu) for stage in cpu[0]}),
            "copies": self._copies(),
        }

    def _new(self, photos: int) -> list[Path]:
        return self._album.fill(self._folder / "stack" / "objects" / f"run-{next(self._runs)}", photos)

    # The bare script

    def _sweep(self) -> tuple[dict[int, float], float]:
        with running(Triton(self._folder / "triton")) as triton, bare_decoders() as pool:
            script = Bare(triton.grpc, self._models, pool)
            asyncio.run(script.look(self._new(16), 4))
            found = {many: asyncio.run(script.look(self._new(self._photos // 4), many)) for many in SWEEP}
            best = max(found, key=lambda in_flight: found[in_flight])
            return found, asyncio.run(script.alone(self._new(32), self._photos, best))

    def _bare(self, in_flight: int) -> float:
        with running(Triton(self._folder / "triton")) as triton, bare_decoders() as pool:
            script = Bare(triton.grpc, self._models, pool)
            asyncio.run(script.look(self._new(32), in_flight))
            return asyncio.run(script.look(self._new(self._photos), in_flight))

    # The whole pipeline

    def _whole(self) -> tuple[float, dict[str, float]]:
        with self._stack() as stack:
            publish(stack, self._new(32), "warm")
            paths = self._new(self._photos)
            before = cpu_seconds(stack)
            seconds = publish(stack, paths, "photos")
            after = cpu_seconds(stack)
        each = {stage: (after[stage] - before[stage]) * 1000 / self._photos for stage in after}
        return self._photos / seconds, each

    def _copies(self) -> dict[str, Any]:
        contents = self._new(self._photos)
        copies = random.Random(7).choices(contents, k=self._photos // 2)  # a third of all
        with self._stack() as stack:
            before = self._calls(stack)
            publish(stack, [*contents, *copies], "copies")
            calls = {name: number - before[name] for name, number in self._calls(stack).items()}
        return {
            "events": len(contents) + len(copies),
            "contents": len(contents),
            "calls": calls,
            "calls_per_content": round(max(calls.values()) / len(contents), 4),
        }

    def _calls(self, stack: Embedded) -> dict[str, int]:
        """By what enrich has measured: Triton's own count has the stack's health checks in it."""
        time.sleep(3 * stack.settings.metrics_interval.total_seconds())  # until it has been published and stored
        with database(stack.settings) as client:
            counted = dict(client.query(CALLS).result_rows)
        return {model.name: int(counted.get(model.name, 0)) for model in self._models}

    @contextmanager
    def _stack(self) -> Iterator[Embedded]:
        os.environ["SAFELIGHT_MODELS"] = ",".join(model.name for model in self._models)
        with running(Embedded(self._folder / "stack", page_port=0, clickhouse_port=0)) as stack:
            yield stack


class Bare:
    """Read, decode, ask: what a good engineer writes first."""

    def __init__(self, address: str, models: Sequence[Model], pool: ProcessPoolExecutor) -> None:
        self._address = address
        self._models = models
        self._pool = pool

    async def look(self, paths: Sequence[Path], in_flight: int) -> float:
        """At all photos; photos a second."""
        loop = asyncio.get_running_loop()
        names = [model.name for model in self._models]
        room = asyncio.Semaphore(in_flight + 2 * PROCESSORS)

        async def one(path: Path) -> None:
            async with room:
                inputs = await loop.run_in_executor(self._pool, decoded, path, names)
                await asyncio.gather(
                    *(self._ask(client, turns[m.name], m, t) for m, t in zip(self._models, inputs, strict=True))
                )

        turns = {name: asyncio.Semaphore(in_flight) for name in names}
        async with InferenceServerClient(self._address) as client:
            began = time.perf_counter()
            await asyncio.gather(*map(one, paths))
            return len(paths) / (time.perf_counter() - began)

    async def alone(self, paths: Sequence[Path], asks: int, in_flight: int) -> float:
        """Triton alone: so many photos, whose tensors are ready; photos a second."""
        ready = [decoded(path, [model.name for model in self._models]) for path in paths]
        turns = {model.name: asyncio.Semaphore(in_flight) for model in self._models}
        async with InferenceServerClient(self._address) as client:
            began = time.perf_counter()
            await asyncio.gather(
                *(
                    self._ask(client, turns[model.name], model, ready[n % len(ready)][m])
                    for n in range(asks)
                    for m, model in enumerate(self._models)
                )
            )
            return asks / (time.perf_counter() - began)

    async def _ask(self, client: InferenceServerClient, turn: asyncio.Semaphore, model: Model, tensors: Inputs) -> None:
        inputs = request(tensors)
        outputs = [InferRequestedOutput(name) for name in model.outputs]
        async with turn:
            answer = await client.infer(model.name, inputs, model.version, outputs)
        for name in model.outputs:
            answer.as_numpy(name)


def decoded(path: Path, names: Sequence[str]) -> list[Inputs]:
    """What the models are shown of a photo; in a process of the bare script."""
    models = [MODELS[name] for name in names]
    picture = decode(path.read_bytes(), short_side=max(model.short_side for model in models))
    return [model.prepare(picture) for model in models]


PROCESSORS = len(os.sched_getaffinity(0))


def bare_decoders() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(PROCESSORS, mp_context=get_context("spawn"))


S = TypeVar("S", bound=Server)


@contextmanager
def running(server: S) -> Iterator[S]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


def publish(stack: Embedded, paths: Sequence[Path], source: str) -> float:
    """Publish an event for each, all at once; the seconds from the first event until ClickHouse has the last photo."""
    run = f"{source}-{os.urandom(4).hex()}"
    events = [event(path, number, run) for number, path in enumerate(paths)]
    settings = stack.settings
    with database(stack.settings) as client:
        began = time.monotonic()
        with PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:
            for each in events:
                producer.publish(each)
        while True:
            [(seen, rejected)] = client.query(ROWS, {"run": run}).result_rows
            if rejected or time.monotonic() - began > _PATIENCE_SECONDS:
                sys.exit(f"safelight bench saturation: {seen} of {len(events)} photos were seen, {rejected} rejected")
            if seen == len(events):
                return time.monotonic() - began
            time.sleep(0.1)


CALLS = """
SELECT labels['model'], sum(arraySum(buckets.count)) FROM metrics WHERE name = 'photos_inference_seconds' GROUP BY 1
"""
ROWS = """
SELECT (SELECT count() FROM photo_enrichments WHERE source = {run:String}),
       (SELECT count() FROM dead_letters WHERE source = {run:String})
"""


def event(path: Path, number: int, run: str) -> PhotoUploaded:
    data = path.read_bytes()
    return PhotoUploaded(
        event_id=f"{run}-{number}",
        photo_id=f"{run}-{number}",
        owner_id=f"owner-{number % 50}",
        object_uri=path.as_uri(),
        content_sha256=hashlib.sha256(data).digest(),
        size_bytes=len(data),
        media_type="image/jpeg",
        uploaded_at=datetime.now(UTC),
        source=run,
    )


def cpu_seconds(stack: Embedded) -> dict[str, float]:
    """What each process of the stack has used, with what it has started; enrich's decoders apart."""
    used = {}
    for server in read_status(stack.data) or ():
        process = psutil.Process(server.pid)
        children = process.children(recursive=True)
        if server.name == "enrich":
            used["decoders"] = sum(cpu(child) for child in children)
            children = []
        used[server.name] = cpu(process) + sum(cpu(child) for child in children)
    return used


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def rounded(figures: Mapping[Any, float]) -> dict[Any, float]:
    return {name: round(figure, 3) for name, figure in figures.items()}


def show(figures: Mapping[str, Any]) -> None:
    for each in figures["sets"]:
        print(f"{', '.join(each['models'])}: ratio {each['ratio']:.2f} (median of {len(each['pairs'])} pairs)")
        for number, pair in enumerate(each["pairs"], 1):
            print(
                f"  pair {number}: bare {pair['bare']:.1f}, whole {pair['whole']:.1f} photos/s, ratio {pair['ratio']:.2f}"
            )
        print(
            f"  Triton alone {each['triton_alone']:.1f} photos/s; calls a content {each['copies']['calls_per_content']}"
        )
        print("  CPU ms a photo: " + ", ".join(f"{stage} {ms:.1f}" for stage, ms in each["cpu_ms"].items()))


def say(what: str) -> None:
    print(what, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
