"""--fresh removes what safelight made, and nothing else."""

import pytest

from ops.stack.embedded import forget
from ops.stack.process import StackError
from ops.stack.status import only_stack

pytestmark = pytest.mark.unit


def test_a_folder_of_earlier_runs_is_removed(tmp_path):
    data = tmp_path / "data"
    (data / "kafka").mkdir(parents=True)
    (data / "this-is-safelight-data").touch()
    forget(data)
    assert not data.exists()


def test_a_folder_that_is_not_there_is_no_error(tmp_path):
    forget(tmp_path / "data")


def test_somebody_elses_folder_stays(tmp_path):
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(StackError, match="was not made by safelight"):
        forget(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_the_folder_of_a_running_stack_stays(tmp_path):
    (tmp_path / "this-is-safelight-data").touch()
    with only_stack(tmp_path), pytest.raises(StackError, match="a stack already runs in"):
        forget(tmp_path)
    assert (tmp_path / "this-is-safelight-data").exists()
