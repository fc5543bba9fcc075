"""A real Chromium for the browser tests: found, or installed where that is ours to do, and started with a fresh profile."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable
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
    """As find_chromium; where it or what Playwright needs is missing, installed from the distribution if we are root on a Debian."""
    found = find_chromium()
    if found is None:
        _install("Chromium", _PACKAGES)
        found = find_chromium()
    if found is None:
        raise NoBrowserError(f"{', '.join(_PACKAGES)} are installed, but none of {', '.join(_NAMES)} is on PATH")
    if not _driver_runs():
        _install("libatomic.so.1, for Playwright", ("libatomic1",))
    return found


def _driver_runs() -> bool:
    """Whether the node that Playwright brings along finds its libraries: a bare Debian lacks one."""
    return (
        subprocess.run([compute_driver_executable()[0], "--version"], capture_output=True, check=False).returncode == 0
    )


def _install(what: str, packages: Sequence[str]) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoBrowserError(
            f"browser tests need {what}: install it (Debian: apt-get install {' '.join(packages)}; "
            "a Chromium elsewhere: SAFELIGHT_CHROMIUM)"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
            raise NoBrowserError(f"browser tests need {what}, and `{' '.join(command)}` failed: {last}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium with a fresh profile, gone at the end. Pages are opened through Playwright's synchronous API."""
    flags = [*_FLAGS, "--no-sandbox"] if os.geteuid() == 0 else list(_FLAGS)  # root has no sandbox in Chromium
    try:
        program = ensure_chromium()
    except NoBrowserError as error:
        pytest.fail(str(error), pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=flags)
        try:
            yield browser
        finally:
            browser.close()
