"""SIGTERM at one moment of each kind; `python -m tests.chaos.leaving` does it for as long as one likes."""

import random
from contextlib import ExitStack

import pytest

from ops.stack.clickhouse import ClickHouse
from ops.stack.kafka import Kafka
from ops.stack.triton import Triton
from tests.chaos.leaving import MOMENTS, SESSION_SECONDS, Scene, serving

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Servers of its own, since it stops them for a while."""
    folder = tmp_path_factory.mktemp("leaving")
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serving(server))
            for server in (
                Kafka(folder / "kafka"),
                ClickHouse(folder / "clickhouse", port=0),
                Triton(folder / "triton", models=["scene_label"]),
            )
        ]
        scene = Scene(folder, *servers, random.Random(8))
        stack.callback(scene.close)
        yield scene


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_whoever_is_told_to_leave_is_gone_within_half_a_session_and_the_group_knows(scene, moment):
    lefts = list(moment(scene))
    assert lefts
    for left in lefts:
        assert left.seconds < SESSION_SECONDS / 2, left
        assert left.knew is not False, left
        if left.knew is None:  # the broker stood still: it forgets the member by itself, a session later
            assert left.forgotten_seconds < 2 * SESSION_SECONDS, left
