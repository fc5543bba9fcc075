"""The folder that Triton serves, made from ops/models: links to what is there, and each config with who runs its graph.

A model is described once, in its config.pbtxt: what goes in, what comes out, how many at once. Who runs it depends on the server:
the embedded one has no other backend than Triton's Python, a Triton container has ONNX Runtime's. A config that names its
backend (text: two graphs, and a program between them) stays as it is.
"""

from __future__ import annotations

import re
import shutil
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ops.stack.process import StackError

if TYPE_CHECKING:
    from collections.abc import Sequence

MODELS = Path(__file__).parent.parent / "models"


class Backend(StrEnum):
    """Who runs a graph, by Triton's name for it."""

    PYTHON = "python"
    ONNXRUNTIME = "onnxruntime"


_RUN_BY = {
    # One instance of one thread: the machine has other work, and more instances take memory.
    Backend.PYTHON: """\
backend: "python"
instance_group [ { kind: KIND_CPU count: 1 } ]
parameters { key: "threads" value: { string_value: "1" } }
""",
    # On each GPU if there is one, else on the CPU.
    Backend.ONNXRUNTIME: """\
backend: "onnxruntime"
platform: "onnxruntime_onnx"
instance_group [ { kind: KIND_AUTO count: 1 } ]
""",
}


def render(
    models: Path, into: Path, names: Sequence[str] | None = None, *, backend: Backend = Backend.PYTHON
) -> list[str]:
    """Make `into` a model repository of the named models (None: all that `models` has), anew; return their names.

    For Python, a version with a model.onnx and no model.py of its own gets `models`/onnx_model.py. StackError names a
    model that is not there.
    """
    names = sorted(config.parent.name for config in models.glob("*/config.pbtxt")) if names is None else list(names)
    if not names:
        raise StackError(f"no model in {models}: each is a folder with a config.pbtxt")
    if into.exists():
        shutil.rmtree(into)
    for name in names:
        source = models.absolute() / name
        if not (source / "config.pbtxt").is_file():
            raise StackError(f"no model {name} in {models}: each is a folder with a config.pbtxt")
        _link(source, into / name, models.absolute() / "onnx_model.py" if backend is Backend.PYTHON else None)
        config = into / name / "config.pbtxt"
        config.unlink()
        config.write_text(rendered((source / "config.pbtxt").read_text(), backend))
    return names


def rendered(config: str, backend: Backend) -> str:
    """A model's config, with who runs it; as it is if it says so itself."""
    if re.search(r"^backend:", config, re.MULTILINE):
        return config
    return config + _RUN_BY[backend]


def _link(source: Path, target: Path, program: Path | None) -> None:
    """The folder `target` with a link to each file of `source`, and the same for its folders."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_dir():
            _link(path, target / path.name, program)
        else:
            (target / path.name).symlink_to(path)
    if program and (source / "model.onnx").exists() and not (source / "model.py").exists():
        (target / "model.py").symlink_to(program)
