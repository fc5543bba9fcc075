"""What is up, told from one process to another."""

import json

import pytest

from ops.stack.process import StackError
from ops.stack.status import ServerStatus, only_stack, publish, read_status

pytestmark = pytest.mark.unit

KAFKA = ServerStatus("kafka", 12, "127.0.0.1:9092", "2026-01-02T03:04:05+00:00", 1, healthy=True, last_exit_code=-9)


def test_another_process_reads_what_was_published(tmp_path):
    with only_stack(tmp_path):
        publish(tmp_path, [KAFKA])
        assert read_status(tmp_path) == [KAFKA]


def test_nothing_is_up_where_no_stack_ever_was(tmp_path):
    assert read_status(tmp_path / "nowhere") is None


def test_nothing_is_up_after_the_end(tmp_path):
    with only_stack(tmp_path):
        publish(tmp_path, [KAFKA])
    assert read_status(tmp_path) is None


def test_what_a_killed_stack_left_is_not_believed(tmp_path):
    with only_stack(tmp_path):
        publish(tmp_path, [KAFKA])
        left = (tmp_path / "stack.json").read_text()
    (tmp_path / "stack.json").write_text(left)
    assert json.loads(left)[0]["name"] == "kafka"
    assert read_status(tmp_path) is None


def test_a_stack_that_is_only_starting_has_nothing_to_say(tmp_path):
    with only_stack(tmp_path):
        assert read_status(tmp_path) is None


def test_a_second_stack_in_the_folder_is_refused_in_one_line(tmp_path):
    with (
        only_stack(tmp_path),
        pytest.raises(StackError, match=r"a stack already runs in .*: stop it, or name another"),
        only_stack(tmp_path),
    ):
        pass


def test_the_folder_is_free_again_afterwards(tmp_path):
    for _ in range(2):
        with only_stack(tmp_path):
            pass


def test_a_reader_never_sees_a_half(tmp_path):
    with only_stack(tmp_path):
        publish(tmp_path, [KAFKA])
        publish(tmp_path, [KAFKA] * 3)
        assert read_status(tmp_path) == [KAFKA] * 3
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith("stack.json")] == ["stack.json"]
