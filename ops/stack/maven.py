"""Artifacts from Maven Central by pinned coordinates, each held against a SHA-256 of ours.

jgo alone would not do: of a wrong checksum it only warns, and a half-written file counts as whole to it.

`python -m ops.stack.maven GROUP:ARTIFACT:VERSION…` prints the lines of a lock file for them and all that they need.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from jgo import maven, parse

from ops.stack.process import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CENTRAL = "https://repo.maven.apache.org/maven2"
_TRIES = 3
_AT_ONCE = 8
_SILENCE_SECONDS = 60  # of the other side, before a download counts as failed


@dataclass(frozen=True)
class Artifact:
    """A file on Maven Central: group:artifact:version or group:artifact:packaging:classifier:version, and its SHA-256."""

    coordinate: str
    sha256: str


def read_lock(text: str) -> list[Artifact]:
    """The artifacts of a lock file: a coordinate and a SHA-256 a line."""
    return [Artifact(*line.split()) for line in text.splitlines() if line and not line.startswith("#")]


def fetch(
    artifacts: Iterable[Artifact],
    folder: Path,
    *,
    fetched: Callable[[], None] = lambda: None,
    repository: str = CENTRAL,
) -> list[Path]:
    """Put the artifacts into `folder` and return their paths; `fetched` is called after each.

    StackError names the first that cannot be had, or is not what was pinned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch, ThreadPoolExecutor(_AT_ONCE) as pool:
        context = maven.MavenContext(
            repo_cache=Path(scratch), remote_repos={"it": repository}, timeout=_SILENCE_SECONDS
        )

        def one(artifact: Artifact) -> Path:
            path = _download(context, artifact)
            fetched()
            return path.rename(folder / path.name)

        waiting = [pool.submit(one, artifact) for artifact in artifacts]
        try:
            return [future.result() for future in waiting]
        finally:
            pool.shutdown(cancel_futures=True)


def _download(context: maven.MavenContext, wanted: Artifact) -> Path:
    artifact = context.create_dependency(parse.Coordinate.parse(wanted.coordinate)).artifact
    problem = ""
    for _ in range(_TRIES):
        try:
            path = Path(artifact.resolve())
        except (requests.RequestException, RuntimeError) as error:  # RuntimeError: jgo's word for "not found"
            problem = str(error)
        else:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found == wanted.sha256:
                return path
            problem = f"what came has SHA-256 {found}, not {wanted.sha256}"
        if artifact.cached_path:
            artifact.cached_path.unlink(missing_ok=True)
    raise StackError(
        f"cannot fetch {wanted.coordinate} by Maven: check the connection, HTTPS_PROXY and REQUESTS_CA_BUNDLE, "
        f"then run it again ({problem[:200]})"
    )


def lock(coordinates: Iterable[str]) -> list[Artifact]:
    """The artifacts at `coordinates` and all that they need at run time."""
    with tempfile.TemporaryDirectory() as scratch:
        context = maven.MavenContext(repo_cache=Path(scratch), timeout=_SILENCE_SECONDS)
        # raw: else the versions that one root manages override the other's
        parsed = [parse.Coordinate.parse(each) for each in coordinates]
        roots = [
            parse.Coordinate(each.groupId, each.artifactId, each.version, scope="compile", raw=True) for each in parsed
        ]
        inputs, more = context.resolver.resolve([context.create_dependency(root) for root in roots])
        needed = inputs + [each for each in more if each.scope in {"compile", "runtime"}]
        return [
            Artifact(
                f"{each.groupId}:{each.artifactId}:{each.version}",
                hashlib.sha256(Path(each.artifact.resolve()).read_bytes()).hexdigest(),
            )
            for each in needed
        ]


if __name__ == "__main__":
    sys.stdout.writelines(sorted(f"{each.coordinate} {each.sha256}\n" for each in lock(sys.argv[1:])))
