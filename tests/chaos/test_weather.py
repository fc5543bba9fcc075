"""The proxy that stands between workers and their servers."""

import socket
import socketserver
import threading
from contextlib import contextmanager

import pytest

from tests.chaos.weather import Proxy, Trouble

pytestmark = pytest.mark.unit

ANSWER = b"x" * 1000


class _Answering(socketserver.BaseRequestHandler):
    def handle(self):
        while self.request.recv(100):
            self.request.sendall(ANSWER)


@pytest.fixture
def proxy(monkeypatch):
    monkeypatch.setattr("tests.chaos.weather._BROKEN_OFF", 1.0)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Answering) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        proxy = Proxy(lambda: server.server_address[1])
        try:
            yield proxy
        finally:
            proxy.close()
            server.shutdown()


@contextmanager
def connected(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        yield connection


def ask(connection):
    connection.sendall(b"?")
    got = b""
    while len(got) < len(ANSWER) and (more := connection.recv(len(ANSWER))):
        got += more
    return got


@contextmanager
def trouble(proxy, kind):
    """While it lasts, which it does until somebody has noticed; the list has then whether somebody has."""
    noticed = []
    thread = threading.Thread(target=lambda: noticed.append(proxy.strike(kind, 0.3)))
    thread.start()
    try:
        while proxy._trouble is None:
            pass
        yield noticed
    finally:
        thread.join()


def test_in_good_weather_everything_passes(proxy):
    with connected(proxy) as connection:
        assert [ask(connection), ask(connection)] == [ANSWER, ANSWER]


def test_slow_answers_are_whole(proxy):
    with connected(proxy) as connection:
        ask(connection)
        with trouble(proxy, Trouble.SLOW) as noticed:
            assert ask(connection) == ANSWER
    assert noticed == [True]


def test_an_answer_breaks_off_in_the_middle_with_a_reset(proxy):
    with connected(proxy) as connection:
        ask(connection)
        with trouble(proxy, Trouble.BROKEN_OFF) as noticed, pytest.raises(ConnectionResetError):
            ask(connection)
    assert noticed == [True]


def test_connections_are_reset_and_refused_for_a_while(proxy):
    with connected(proxy) as connection:
        ask(connection)
        with trouble(proxy, Trouble.REFUSING) as noticed:
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
            with pytest.raises(ConnectionRefusedError), connected(proxy):
                pass
    assert noticed == [True]
    with connected(proxy) as again:
        assert ask(again) == ANSWER


def test_trouble_that_nobody_notices_is_told(proxy, monkeypatch):
    monkeypatch.setattr("tests.chaos.weather._NOTICED_SECONDS", 0.1)
    assert not proxy.strike(Trouble.SLOW, 0.0)
