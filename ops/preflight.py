# ruff: noqa: UP006, UP035, UP045 (a Python 3.6 must be able to read this, whose user is to be told what is missing)
"""Whether this machine can run the embedded stack, said before anything is fetched: `python3 ops/preflight.py`.

With the argument `test` also what `make test` needs. Standard library only, and syntax that every Python from 3.6 on
parses. Exit code 0, or 2 with one line that says what is wrong and what to do instead.
"""

import hashlib
import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import List, NamedTuple, Optional, Tuple

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 14))
GLIBC = (2, 35)  # what tritonserver is built for; Debian 12 has 2.36, Ubuntu 22.04 has 2.35
MACHINE = "use a Linux x86-64 machine or virtual machine, with Debian 12, Ubuntu 22.04 or newer"


class Facts(NamedTuple):
    """What this machine and the Python that runs this are."""

    system: str
    machine: str
    glibc: Tuple[int, ...]  # empty: another C library
    python: Tuple[int, int]
    implementation: str
    free_threaded: bool
    missing_modules: List[str]


class Download(NamedTuple):
    """A part of the set-up: its 10^6 bytes on the wire and on the disk."""

    what: str
    wire: int
    disk: int
    into: Path


def facts() -> Facts:
    """As they are here."""
    return Facts(
        system=platform.system(),
        machine=platform.machine(),
        glibc=_glibc(),
        python=(sys.version_info[0], sys.version_info[1]),
        implementation=platform.python_implementation(),
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        missing_modules=[name for name in ("venv", "ensurepip") if not _has(name)],
    )


def unfit(seen: Facts) -> Optional[str]:
    """What is wrong and what to do instead, in one line; None if all is well."""
    if (seen.system, seen.machine) != ("Linux", "x86_64"):
        return f"runs on Linux x86-64, and this is {seen.system} {seen.machine}: {MACHINE}"
    if seen.glibc < GLIBC:
        found = "glibc " + ".".join(map(str, seen.glibc)) if seen.glibc else "another C library"
        return f"needs glibc 2.35 or newer, and this machine has {found}: {MACHINE}"
    version = "{}.{}".format(*seen.python)
    if not PYTHONS[0] <= seen.python <= PYTHONS[1] or seen.implementation != "CPython" or seen.free_threaded:
        kind = "free-threaded " if seen.free_threaded else ""
        return (
            f"needs CPython 3.11 to 3.14, and this is {kind}{seen.implementation} {version}: "
            "install one of them, then name it: make PYTHON=python3.12"
        )
    if seen.missing_modules:
        lack = " and ".join(seen.missing_modules)
        return (
            f"this Python {version} lacks {lack}: apt install python3-venv, or python{version}-venv, then run it again"
        )
    return None


def cache_dir() -> Path:
    """As ops/stack/cache.py has it."""
    own = os.environ.get("SAFELIGHT_CACHE")
    if own:
        return Path(own).expanduser().absolute()
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "safelight"


def missing(cache: Path, venv: Path, test: bool = False) -> List[Download]:
    """What a set-up, and one for the tests, would fetch into these folders."""
    locks = ROOT / "ops" / "stack"
    triton = cache / _locked_name("triton", locks / "triton.lock", locks / "triton-python.lock")
    kafka = cache / _locked_name("kafka", locks / "kafka.lock")
    # Weighed: the files that pip fetches for the lock files (CPython 3.11), the jars, and du of what came of them.
    table = [
        (venv / ".safelight", Download("Python packages", 385, 1300, venv)),
        (triton, Download("Triton, the inference server", 119, 340, cache)),
        (kafka, Download("Apache Kafka, the broker", 44, 110, cache)),
        *([(venv / ".test", Download("Python packages of the tests", 115, 300, venv))] if test else []),
    ]
    return [download for there, download in table if not there.exists()]


def too_full(downloads: List[Download]) -> Optional[str]:
    """What is wrong with the free space and what to do, in one line; None if all will fit."""
    for folder in {_device(each.into): each.into for each in downloads}.values():
        needed = sum(each.disk for each in downloads if _device(each.into) == _device(folder))
        free = shutil.disk_usage(str(_existing(folder))).free // 10**6
        if free < needed:
            return (
                f"not enough space: {needed} MB are needed in {folder}, and {free} MB are free; "
                "make room (the cache may be elsewhere: SAFELIGHT_CACHE=FOLDER)"
            )
    return None


def main(arguments: List[str]) -> int:
    """Say what is wrong, or what will be fetched."""
    cache = cache_dir()
    downloads = missing(cache, ROOT / ".venv", test="test" in arguments)
    wrong = unfit(facts()) or too_full(downloads)
    if wrong:
        sys.stderr.write(f"safelight: {wrong}\n")
        return 2
    if downloads:
        total = sum(each.wire for each in downloads)
        lines = [
            f"safelight sets itself up once: {total} MB to fetch, kept in .venv and in {cache} (SAFELIGHT_CACHE)",
            *(f"  {each.wire:4} MB  {each.what}" for each in downloads),
            "Nothing leaves this machine: no telemetry, no account, and photos stay where they are.",
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
    return 0


def _glibc() -> Tuple[int, ...]:
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (AttributeError, OSError, ValueError):  # not Unix, not glibc, no answer
        return ()
    return tuple(map(int, version.split("."))) if name == "glibc" else ()


def _has(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def _locked_name(name: str, *locks: Path) -> str:
    return "{}-{}".format(name, hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:12])


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _device(path: Path) -> int:
    return _existing(path).stat().st_dev


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
