"""moto's S3 server, in a thread of the tests. Objects get there by plain HTTP: the client under test only reads."""

import secrets
from contextlib import contextmanager
from urllib.parse import quote
from urllib.request import Request, urlopen


class S3:
    """`.url` of the server."""

    def __init__(self, url):
        self.url = url

    def bucket(self):
        """The name of a new one."""
        name = f"photos-{secrets.token_hex(4)}"
        self._send("PUT", f"/{name}")
        return name

    def put(self, bucket, key, content):
        self._send("PUT", f"/{bucket}/{quote(key)}", content)

    def drop(self, bucket, *keys):
        for key in keys:
            self._send("DELETE", f"/{bucket}/{quote(key)}")
        self._send("DELETE", f"/{bucket}")

    @contextmanager
    def knows_nobody(self):
        """Every key is wrong, for the block; otherwise moto does not look at them."""
        self._send("POST", "/moto-api/reset-auth", b"0")
        try:
            yield
        finally:
            self._send("POST", "/moto-api/reset-auth", b"inf")

    def _send(self, method, path, content=b""):
        request = Request(self.url + path, data=content, method=method, headers={"Content-Type": "image/jpeg"})
        with urlopen(request):
            pass


@contextmanager
def s3_server():
    """A server on a free port of this machine, ended with the block."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3(f"http://{host}:{port}")
    finally:
        server.stop()
