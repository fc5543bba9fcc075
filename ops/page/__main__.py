"""The page as a process of its own: `python -m ops.page --port 8088`. Settings come from SAFELIGHT_*."""

import argparse
import asyncio
import signal
import sys

from ops.page.server import Page
from streams.settings import Settings


def main() -> int:
    """Serve until SIGTERM or SIGINT; 1 with one line when the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m ops.page", description="Serve safelight's page on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8088, help="port to listen on (default: 8088)")
    page = Page(Settings(), port=parser.parse_args().port)
    try:
        asyncio.run(_serve(page))
    except OSError as error:
        sys.stderr.write(f"the page cannot listen on 127.0.0.1:{page.port}: {error.strerror}; choose another --port\n")
        return 1
    return 0


async def _serve(page: Page) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await page.start()
    try:
        await ended.wait()
    finally:
        await page.stop()


if __name__ == "__main__":
    sys.exit(main())
