"""A server that does not start fails the tests that asked for it, in one line; it never skips them."""

import pytest

from tests.support.providers import _serving
from tests.support.servers import FakeServer

pytestmark = pytest.mark.unit


def test_a_server_that_does_not_start_fails_with_the_line_that_says_why():
    server = FakeServer("kafka")
    server.fails_to_start = True
    with pytest.raises(pytest.fail.Exception, match="needs a server that did not start: kafka does not serve"):
        next(_serving(server))


def test_a_server_is_stopped_when_the_session_ends():
    server = FakeServer("kafka")
    fixture = _serving(server)
    assert next(fixture) is server
    assert server.running()
    assert list(fixture) == []
    assert not server.running()
