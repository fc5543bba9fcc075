"""An HTTP server with one object under every name, which misbehaves as told."""

import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.server.company is not None:
            with suppress(threading.BrokenBarrierError):
                self.server.company.wait(0.3)
                self.server.met.append(self.path)
        told = self.server.statuses.get(self.path, 200)
        status = (
            told.pop(0) if isinstance(told, list) and len(told) > 1 else told[0] if isinstance(told, list) else told
        )
        body = self.server.content if status == 200 else b"a page of the server's own"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        broken = self.path in self.server.broken
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if broken else body)
        self.close_connection = self.close_connection or broken

    do_HEAD = do_GET  # noqa: N815 (the name that http.server looks for)

    def log_message(self, *_args):
        pass


@contextmanager
def object_server(content):
    """`.url` of its folder; `.asked`: the paths that were asked for; by path: `.statuses`, each a status or a list of them, of
    which the last one stays; `.broken`: answers that break off. With a Barrier as `.company` requests wait a little for each other, and those that met
    are in `.met`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.content, server.statuses, server.asked, server.broken = content, {}, [], set()
    server.company, server.met = None, []
    server.url = f"http://127.0.0.1:{server.server_port}/photos"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
