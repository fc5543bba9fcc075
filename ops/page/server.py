"""The page's server: loopback only, read-only, a few routes."""

import json
from dataclasses import asdict
from pathlib import Path

from aiohttp import web

from ops.dashboards import panels
from ops.page.guard import Handler, guard
from ops.page.panels import SPANS, Asks, Panels, ReadOnly
from ops.page.photos import PLACEHOLDER, Photos, Print
from ops.stack.status import read_status
from schemas.errors import SafelightError, Unavailable
from streams.settings import Settings

_HERE = Path(__file__).parent
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Page:
    """The page over a running stack: `start`, `url`, `stop`."""

    def __init__(self, settings: Settings, port: int = 8088, *, clickhouse: Asks | None = None) -> None:
        """`port` on 127.0.0.1; 0: a free one. The caller looks for another where it is taken.

        `clickhouse`: who answers, if not the ClickHouse of the settings.
        """
        self.port = port
        self._settings = settings
        self._listed = panels()
        self._own = ReadOnly(settings)
        asked = clickhouse or self._own
        self._panels = Panels(asked, {panel.name: panel.sql for panel in self._listed})
        self._photos = Photos(asked, settings)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Return once it listens. Raises OSError when the port is taken."""
        self._runner = web.AppRunner(self.application(), access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Let go of the port and of ClickHouse. Stopping twice is harmless."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def application(self) -> web.Application:
        """The routes, for a server or a test."""
        app = web.Application(middlewares=[guard])
        app.router.add_get("/panels", self._list)
        app.router.add_get("/panel/{name}", self._panel)
        app.router.add_get("/running", self._running)
        app.router.add_get("/photo", self._photo)
        for path, file in _files().items():
            app.router.add_get(path, _static(file))
        app.on_cleanup.append(self._let_go)
        return app

    async def _let_go(self, _: web.Application) -> None:
        await self._photos.close()
        await self._own.close()

    async def _list(self, _: web.Request) -> web.Response:
        listed = [{key: value for key, value in asdict(panel).items() if key != "sql"} for panel in self._listed]
        return _json({"panels": listed})

    async def _panel(self, request: web.Request) -> web.Response:
        span = request.query.get("seconds", "")
        if not (span.isdecimal() and int(span) in SPANS):
            raise web.HTTPBadRequest(text=f"seconds is one of {', '.join(map(str, SPANS))}.\n")
        try:
            answer = await self._panels.answer(request.match_info["name"], int(span))
        except KeyError as error:
            raise web.HTTPNotFound(text="There is no such panel; /panels lists them.\n") from error
        except SafelightError as error:
            return _json({"detail": _advice(error)}, status=503)
        return _json({**asdict(answer), "rounding": SPANS[int(span)]})

    async def _running(self, _: web.Request) -> web.Response:
        servers = read_status(self._settings.data)
        return _json(None if servers is None else [asdict(server) for server in servers])

    async def _photo(self, request: web.Request) -> web.Response:
        try:
            found = await self._photos.find(request.query.get("owner", ""), request.query.get("photo", ""))
        except SafelightError as error:
            raise web.HTTPServiceUnavailable(text=f"{_advice(error)}\n") from error
        if found is None:
            raise web.HTTPNotFound(text="There is no such photo.\n")
        return _shown(request, found)


def _advice(error: SafelightError) -> str:
    if isinstance(error, Unavailable):
        return f"ClickHouse is unavailable ({error.detail}). What you see is from before."
    return str(error)


def _shown(request: web.Request, found: Print) -> web.Response:
    # A browser asks each time whether the photo is still there: what an owner had erased must not live on in its cache.
    headers = {"Cache-Control": "private, no-cache", "ETag": f'"{found.tag}"'}
    if found.jpeg is None:
        return web.Response(body=PLACEHOLDER, content_type="image/svg+xml", headers={"Cache-Control": "no-store"})
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return web.Response(status=304, headers=headers)
    return web.Response(body=found.jpeg, content_type="image/jpeg", headers=headers)


def _json(body: object, status: int = 200) -> web.Response:
    return web.json_response(
        body,
        status=status,
        dumps=lambda value: json.dumps(value, allow_nan=False),
        headers={"Cache-Control": "no-store"},
    )


def _files() -> dict[str, Path]:
    """What is served as it is: the files beside this one that a browser reads."""
    found = [file for file in (*_HERE.iterdir(), *(_HERE / "vendor").iterdir()) if file.suffix in _TYPES]
    return {"/": _HERE / "index.html"} | {f"/{file.relative_to(_HERE).as_posix()}": file for file in found}


def _static(file: Path) -> Handler:
    body = file.read_bytes()

    async def serve(_: web.Request) -> web.Response:
        return web.Response(
            body=body, content_type=_TYPES[file.suffix], charset="utf-8", headers={"Cache-Control": "no-cache"}
        )

    return serve
