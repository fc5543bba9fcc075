"""What every request and answer of the page must keep to: it is on the loopback address, but any web site can aim a browser at that."""

from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OURS = frozenset({"127.0.0.1", "localhost", "[::1]"})

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def names_loopback(host: str) -> bool:
    """Whether a Host header names this machine; another name that leads here is DNS rebinding."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):  # no port
        name, port = host, "0"
    return name.lower() in _OURS and port.isdigit()


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only GET and HEAD, only to a loopback name, only from this origin; the same headers on every answer."""
    try:
        response = await _answer(request, handler)
    except web.HTTPException as refusal:
        refusal.headers.update(_HEADERS)
        raise
    response.headers.update(_HEADERS)
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not names_loopback(request.headers.get("Host", "")):
        raise web.HTTPForbidden(text="This page answers only to 127.0.0.1 and localhost.\n")
    if request.method not in ("GET", "HEAD"):
        raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"], text="This page only shows: GET.\n")
    foreign = request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")
    if foreign and request.headers.get("Sec-Fetch-Mode") != "navigate":
        # A link to the page is welcome; another page's <img src=…/photo> is not.
        raise web.HTTPForbidden(text="Only this page itself may ask for its data.\n")
    return await handler(request)
