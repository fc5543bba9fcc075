"""A real Chromium for the browser tests: found, or installed where that is ours to do, and started with a fresh profile."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")

# The page is looked at too, so a font with tabular figures comes along; without any font Chromium draws boxes.
_PACKAGES = ("chromium", "fonts-inter", "fonts-dejavu-core")

_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoBrowserError(Exception):
    """No Chromium is here, and none could be installed; one line that says what to install."""


def find_chromium() -> Path | None:
    """The Chromium that $SAFELIGHT_CHROMIUM names, else the first on PATH; None where there is none."""
    named = os.environ.get("SAFELIGHT_CHROMIUM")
    if named:
        if not os.access(named, os.X_OK):
            raise NoBrowserError(f"SAFELIGHT_CHROMIUM={named} is no program: point it at a Chromium, or unset it")
        return Path(named)
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    return Path(found) if found else None


def ensure_chromium() -> Path:
    """As find_chromium; where there is none, the distribution's package is installed if we are root on a Debian."""
    found = find_chromium()
    if found:
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoBrowserError(
            "browser tests need Chromium: install it (Debian: apt-get install chromium), or set SAFELIGHT_CHROMIUM"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", *_PACKAGES],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            raise NoBrowserError(f"browser tests need Chromium, and `{' '.join(command)}` failed: {last}")
    found = find_chromium()
    if found is None:
        raise NoBrowserError(f"{', '.join(_PACKAGES)} are installed, but none of {', '.join(_NAMES)} is on PATH")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium with a fresh profile, gone at the end. Pages are opened through Playwright's synchronous API."""
    flags = [*_FLAGS, "--no-sandbox"] if os.geteuid() == 0 else list(_FLAGS)  # root has no sandbox in Chromium
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=ensure_chromium(), headless=True, args=flags)
        try:
            yield browser
        finally:
            browser.close()
