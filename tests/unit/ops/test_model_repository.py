"""The folder that Triton serves: the models' files, and one backend for all graphs."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from ops.stack.model_repository import MODELS, Backend, render, rendered
from ops.stack.process import StackError

pytestmark = pytest.mark.unit


@pytest.fixture
def models(tmp_path):
    for name in ("alpha", "beta"):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        (tmp_path / "models" / name / "config.pbtxt").write_text(f'name: "{name}"\n')
        (tmp_path / "models" / name / "1" / "model.onnx").write_text(f"graph of {name}")
    (tmp_path / "models" / "onnx_model.py").write_text("runs any graph")
    (tmp_path / "models" / "NOTICE").write_text("licences")
    return tmp_path / "models"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def config_of(folder, name):
    return text_format.Parse((folder / name / "config.pbtxt").read_text(), ModelConfig())


def test_all_models_are_served_with_the_shared_backend(models, tmp_path):
    assert render(models, tmp_path / "served") == ["alpha", "beta"]
    served = contents(tmp_path / "served")
    configs = {name: text_format.Parse(served.pop(f"{name}/config.pbtxt"), ModelConfig()) for name in ("alpha", "beta")}
    assert served == {
        f"{name}/1/{file}": text
        for name in ("alpha", "beta")
        for file, text in {"model.onnx": f"graph of {name}", "model.py": "runs any graph"}.items()
    }
    assert {name: (config.name, config.backend) for name, config in configs.items()} == {
        "alpha": ("alpha", "python"),
        "beta": ("beta", "python"),
    }


def test_a_container_with_onnx_runtime_gets_the_graphs_alone(models, tmp_path):
    render(models, tmp_path / "served", backend=Backend.ONNXRUNTIME)
    assert config_of(tmp_path / "served", "alpha").backend == "onnxruntime"
    assert not (tmp_path / "served" / "alpha" / "1" / "model.py").exists()
    assert (tmp_path / "served" / "alpha" / "1" / "model.onnx").read_text() == "graph of alpha"


def test_a_config_that_names_its_backend_stays_as_it_is():
    config = '# ours\nname: "alpha"\nbackend: "python"\n'
    assert [rendered(config, backend) for backend in Backend] == [config, config]


@pytest.mark.parametrize("name", sorted(path.parent.name for path in MODELS.glob("*/config.pbtxt")))
def test_the_project_s_configs_say_the_same_to_both_backends_but_who_runs_them(name, tmp_path):
    configs = {}
    for backend in Backend:
        render(MODELS, tmp_path / backend, [name], backend=backend)
        configs[backend] = config_of(tmp_path / backend, name)
    python, onnx = configs[Backend.PYTHON], configs[Backend.ONNXRUNTIME]
    assert (python.name, python.backend) == (name, "python")
    assert [group.kind for group in python.instance_group] == [ModelInstanceGroup.KIND_CPU]
    assert python.parameters["threads"].string_value == "1"
    if onnx.backend == "onnxruntime":
        assert onnx.platform == "onnxruntime_onnx"
        assert [group.kind for group in onnx.instance_group] == [ModelInstanceGroup.KIND_AUTO]
    for config in configs.values():
        for field in ("backend", "platform", "instance_group", "parameters"):
            config.ClearField(field)
    assert python == onnx
    assert python.max_batch_size >= 1
    assert python.input
    assert python.output


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
    (models / "alpha" / "1" / "model.onnx").write_text("changed")
    assert (tmp_path / "served" / "alpha" / "1" / "model.onnx").read_text() == "changed"


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
