"""The folder that Triton serves: the models' files, and one backend for all graphs."""

import pytest

from ops.stack.model_repository import MODELS, render
from ops.stack.process import StackError

pytestmark = pytest.mark.unit


@pytest.fixture
def models(tmp_path):
    for name in ("alpha", "beta"):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        (tmp_path / "models" / name / "config.pbtxt").write_text(f'name: "{name}"')
        (tmp_path / "models" / name / "1" / "model.onnx").write_text(f"graph of {name}")
    (tmp_path / "models" / "onnx_model.py").write_text("runs any graph")
    (tmp_path / "models" / "NOTICE").write_text("licences")
    return tmp_path / "models"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_all_models_are_served_with_the_shared_backend(models, tmp_path):
    assert render(models, tmp_path / "served") == ["alpha", "beta"]
    assert contents(tmp_path / "served") == {
        f"{name}/{file}": text
        for name in ("alpha", "beta")
        for file, text in {
            "config.pbtxt": f'name: "{name}"',
            "1/model.onnx": f"graph of {name}",
            "1/model.py": "runs any graph",
        }.items()
    }


def test_a_models_own_backend_stays(models, tmp_path):
    (models / "alpha" / "1" / "model.py").write_text("its own")
    render(models, tmp_path / "served")
    assert contents(tmp_path / "served")["alpha/1/model.py"] == "its own"


def test_only_the_named_models_are_served_and_earlier_ones_are_not(models, tmp_path):
    render(models, tmp_path / "served")
    assert render(models, tmp_path / "served", ["beta"]) == ["beta"]
    assert [path.name for path in (tmp_path / "served").iterdir()] == ["beta"]
    assert contents(models)["alpha/1/model.onnx"] == "graph of alpha"  # the links went, what they led to stays


def test_files_are_links_to_the_models(models, tmp_path):
    render(models, tmp_path / "served")
    (models / "alpha" / "config.pbtxt").write_text("changed")
    assert (tmp_path / "served" / "alpha" / "config.pbtxt").read_text() == "changed"


def test_a_model_that_is_not_there_is_named(models, tmp_path):
    with pytest.raises(StackError, match=r"no model gamma in .*models"):
        render(models, tmp_path / "served", ["gamma"])


def test_no_model_at_all_is_told(tmp_path):
    with pytest.raises(StackError, match="no model in"):
        render(tmp_path, tmp_path / "served")


def test_every_label_of_the_project_has_a_name_of_its_own():
    labels = (MODELS / "scene_label" / "labels.txt").read_text().splitlines()
    assert len(set(labels)) == 1000
    # known positions of ImageNet's order
    assert (labels[0], labels[281], labels[698], labels[967], labels[999]) == (
        "tench",
        "tabby",
        "palace",
        "espresso",
        "toilet tissue",
    )
