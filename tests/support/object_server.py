"""An HTTP server with one object under every name, which misbehaves as told."""

import sys
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.asked.append(self.path)
        server.heard.append({name.title(): value for name, value in self.headers.items()})
        if server.company is not None:
            with suppress(threading.BrokenBarrierError):
                server.company.wait(0.3)
                server.met.append(self.path)
        told = server.statuses.get(self.path, 200)
        status = (
            told.pop(0) if isinstance(told, list) and len(told) > 1 else told[0] if isinstance(told, list) else told
        )
        body = server.content if status == 200 else server.page
        broken = self.path in server.broken
        half = body[: len(body) // 2]
        told = server.announced.get(self.path, len(body))
        self.send_response(status)
        self.send_header("Last-Modified", "Wed, 18 Nov 2026 12:00:00 GMT")  # the clouds' clients want both
        self.send_header("ETag", '"one"')
        for name, value in server.headers.get(self.path, {}).items():
            self.send_header(name, value)
        if told is not None:
            self.send_header("Content-Length", str(told))
        self.end_headers()
        self.close_connection = self.close_connection or broken or told != len(body)
        with suppress(ConnectionError):  # who asked may have had enough
            self.wfile.write(half if broken or self.path in server.stalled else body)
        if self.path in server.stalled:
            self.wfile.flush()
            server.ends.wait()
            self.close_connection = True

    def log_message(self, *_args):
        pass


class _Server(ThreadingHTTPServer):
    def verify_request(self, _request, _client):
        self.connections += 1
        return True

    def handle_error(self, request, client_address):
        """Who asked may have had enough: that is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def object_server(content, *, certificate=None):
    """With a certificate (tests/support/certificate.py) it speaks TLS. `.url` of its folder; `.asked`: the paths that were asked for, `.heard`: the headers of each; `.connections`: how many
    were made. By path: `.statuses`, each a status or a list of them, of which the last one stays; `.headers` to send;
    `.page` is the body of every status but 200;
    `.announced`: another length than there is, or None for none; `.broken`: answers that break off, `.stalled`: that stop half-way.
    With a Barrier as `.company` requests wait a little for each other, and those that met are in `.met`."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.content, server.statuses, server.asked, server.broken = content, {}, [], set()
    server.heard, server.headers, server.announced, server.stalled = [], {}, {}, set()
    server.page = b"a page of the server's own"
    server.connections, server.ends = 0, threading.Event()
    server.company, server.met = None, []
    if certificate is not None:
        server.socket = certificate.context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "http" if certificate is None else "https"
    server.url = f"{scheme}://127.0.0.1:{server.server_port}/photos"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.ends.set()
        server.shutdown()
        server.server_close()
        thread.join()
