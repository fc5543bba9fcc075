"""ClickHouse's own pages, out of the engine's library, which carries them as its server does.

They are made to need nothing from outside (their scripts lie beside them in the library) and to ask by GET: a browser puts
an Origin header on every POST, and those are refused (guard.py). A GET may not write, so the pages only read.

/dashboard shows system.dashboards, whose charts need logs that this engine does not keep; /dashboard?from=db.table shows
any other table of the same shape.
"""

from __future__ import annotations

import functools
import mmap
from importlib import util
from pathlib import Path

# Where each begins in the library; all end with a zero byte.
_BEGINS = {
    "dashboard": (b"<!DOCTYPE html>", b"<title>ClickHouse Dashboard</title>"),
    "play": (b"<!DOCTYPE html>", b"<title>ClickHouse Query</title>"),
    "js/uplot.js": (b"/*! https://github.com/leeoniya/uPlot", b""),
    "js/lz-string.js": (b"var LZString=", b""),
}
_SCRIPTS = {
    b"https://cdn.jsdelivr.net/npm/uplot@1.6.21/dist/uPlot.iife.min.js": b"js/uplot.js",
    b"https://cdn.jsdelivr.net/npm/lz-string@1.5.0/libs/lz-string.min.js": b"js/lz-string.js",
}
_BY_GET = b"""<script>
// What this page would POST it asks by GET: its server refuses requests with an Origin header.
const plainFetch = window.fetch;
const from = new URL(location.href).searchParams.get("from");
window.fetch = (url, options = {}) => {
    const asked = new URL(url, location.href);
    if (asked.origin != location.origin || options.method != "POST") return plainFetch(url, options);
    let sql = options.body || "";
    if (/^[a-z0-9_]+[.][a-z0-9_]+$/i.test(from)) {
        sql = sql.replace("FROM system.dashboards WHERE dashboard = 'Overview'", "FROM " + from);
        sql = sql.replace("FROM system.dashboards", "FROM " + from);
    }
    if (sql) asked.searchParams.set("query", sql);
    return plainFetch(asked, {...options, method: "GET", body: undefined});
};
</script>
"""
_SEARCHED_BYTES = 4096  # between the beginning of a page and its title


@functools.cache
def page(name: str) -> bytes | None:
    """One of dashboard, play, js/uplot.js, js/lz-string.js; None for any other, or if this library has it not."""
    if name not in _BEGINS:
        return None
    text = _carried(*_BEGINS[name])
    if text is None or name.startswith("js/"):
        return text
    for there, here in _SCRIPTS.items():
        text = text.replace(there, here)
    return text.replace(b"<head>", b"<head>\n" + _BY_GET, 1)


def _carried(begin: bytes, mark: bytes) -> bytes | None:
    spec = util.find_spec("chdb")
    library = Path(spec.origin).with_name("_chdb.abi3.so") if spec and spec.origin else None
    if library is None or not library.is_file():
        return None
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        at = memory.find(mark or begin)
        if at >= 0 and mark:
            at = memory.rfind(begin, max(0, at - _SEARCHED_BYTES), at)
        return memory[at : memory.find(b"\0", at)] if at >= 0 else None
