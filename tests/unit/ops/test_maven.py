"""Artifacts by Maven: only what was pinned, and nothing of what was not."""

import hashlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from ops.stack.maven import Artifact, fetch, read_lock
from ops.stack.process import StackError

pytestmark = pytest.mark.unit

JAR = b"a jar" * 10_000
PATH = "/org/example/part/1.0/part-1.0.jar"
PINNED = Artifact("org.example:part:1.0", hashlib.sha256(JAR).hexdigest())


@contextmanager
def repository(*answers):
    """A Maven repository that gives these answers for the jar, one a request, then the last for ever."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != PATH:
                self.send_error(404)
                return
            answer = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(JAR)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_pinned_is_put_into_the_folder(tmp_path):
    fetched = []
    with repository(JAR) as central:
        [path] = fetch([PINNED], tmp_path, fetched=lambda: fetched.append(1), repository=central)
    assert path.read_bytes() == JAR
    assert files(tmp_path) == ["part-1.0.jar"]
    assert fetched == [1]


def test_a_connection_that_breaks_half_way_is_tried_again(tmp_path):
    with repository(JAR[:1000], JAR) as central:
        [path] = fetch([PINNED], tmp_path, repository=central)
    assert path.read_bytes() == JAR


def test_other_bytes_than_the_pinned_are_refused(tmp_path):
    with repository(JAR[:-1] + b"?") as central, pytest.raises(StackError, match=r"org\.example:part:1\.0 .* SHA-256"):
        fetch([PINNED], tmp_path, repository=central)
    assert files(tmp_path) == []


def test_what_is_not_there_is_told_in_one_line_that_says_what_to_check(tmp_path):
    absent = Artifact("org.example:absent:1.0", "0" * 64)
    with (
        repository(JAR) as central,
        pytest.raises(StackError, match=r"^cannot fetch .*absent.* check the connection.*$"),
    ):
        fetch([absent], tmp_path, repository=central)
    assert files(tmp_path) == []


def test_a_lock_is_a_coordinate_and_a_checksum_a_line():
    assert read_lock("# of what\ng:a:1 aa\n\ng:b:2 bb\n") == [Artifact("g:a:1", "aa"), Artifact("g:b:2", "bb")]
