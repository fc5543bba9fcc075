"""Who may ask: programs on this machine. Without this, any web page that its user visits could."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_OWN = frozenset({"same-origin", "none"})


def refusal(headers: Mapping[str, str], *, asks: bool) -> str | None:
    """Why this request is refused, in one line, or None. `asks`: it carries SQL.

    1. An Origin header: a browser sends it with every POST of a script, whatever page the script is from. Requests of our
       own pages do not need it: they are GETs.
    2. A Host that is not this machine's loopback: a page whose name was made to resolve to 127.0.0.1 (DNS rebinding)
       would be of the same origin to the browser.
    3. Sec-Fetch-Site, which only browsers send: another page's plain GET (an image, a link) has no Origin.
    """
    if "Origin" in headers:
        return "Requests with an Origin header are refused: a web page may not send SQL here"
    host = headers.get("Host", "")
    if _host(host) not in _LOOPBACK:
        return f"Requests to {host[:100]!r} are refused: say 127.0.0.1 or localhost"
    if asks and headers.get("Sec-Fetch-Site", "none") not in _OWN:
        return "Requests that another web page makes are refused: open this address by itself"
    return None


def _host(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None
