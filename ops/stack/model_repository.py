"""The folder that Triton serves, made from ops/models: links to what is there, so nothing is copied."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ops.stack.process import StackError

if TYPE_CHECKING:
    from collections.abc import Sequence

MODELS = Path(__file__).parent.parent / "models"


def render(models: Path, into: Path, names: Sequence[str] | None = None) -> list[str]:
    """Make `into` a model repository of the named models (None: all that `models` has), anew; return their names.

    A version with a model.onnx and no model.py of its own gets `models`/onnx_model.py. StackError names a model that
    is not there.
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
        _link(source, into / name, models.absolute() / "onnx_model.py")
    return names


def _link(source: Path, target: Path, backend: Path) -> None:
    """The folder `target` with a link to each file of `source`, and the same for its folders."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_dir():
            _link(path, target / path.name, backend)
        else:
            (target / path.name).symlink_to(path)
    if (source / "model.onnx").exists() and not (source / "model.py").exists():
        (target / "model.py").symlink_to(backend)
