"""The page as a person and as a script see it: served here, read through a browser."""

import asyncio
import json
import threading
from contextlib import contextmanager

from ops.page.server import Page


@contextmanager
def serving(settings):
    """The page over the settings, in a thread; its URL."""
    page = Page(settings, port=0)
    listens = threading.Event()

    async def serve():
        nonlocal stop
        stop = asyncio.Event()
        await page.start()
        listens.set()
        await stop.wait()
        await page.stop()

    stop = None
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="page")
    thread.start()
    try:
        assert listens.wait(20)
        yield page.url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


class Sight:
    """An open page: what it shows, and what it did that it must not (`faults`, `elsewhere`)."""

    def __init__(self, context, url):
        self.url = url
        self.faults = []
        self.elsewhere = []
        self.tab = context.new_page()
        self.tab.set_default_timeout(20_000)
        self.tab.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)
        self.tab.on("pageerror", lambda error: self.faults.append(str(error)))
        self.tab.on(
            "request", lambda request: None if request.url.startswith(f"{url}/") else self.elsewhere.append(request.url)
        )
        self.tab.goto(f"{url}/")

    def panel(self, name):
        return self.tab.locator(f'[data-panel="{name}"]')

    def state(self, name):
        """waiting, fresh, empty or stale."""
        return self.panel(name).get_attribute("data-state")

    def value(self, name):
        """What the panel says to scripts; None when it is empty."""
        text = self.panel(name).get_attribute("data-value")
        return json.loads(text) if text else None

    def reading(self, name):
        """A chart's value, and the beginning of the interval that it is of (seconds since 1970); (None, None) when empty."""
        at, text = self.panel(name).evaluate("place => [place.dataset.at, place.dataset.value]")
        return (json.loads(text), int(at)) if text else (None, None)

    def number(self, name):
        """One of the large numbers, such as totals.photos; None for a dash."""
        text = self.tab.locator(f'[data-number="{name}"]').get_attribute("data-value")
        return float(text) if text else None

    def words(self, name):
        """The same as a person reads it."""
        return self.tab.locator(f'[data-number="{name}"] output').inner_text()

    def part(self, name):
        """State and words of one thing that runs."""
        row = self.tab.locator(f'[data-part="{name}"]')
        return row.get_attribute("data-state"), row.locator(".state").inner_text()

    def print(self, photo_id):
        """A photo on the wall."""
        return self.tab.locator(f'.print[data-photo="{photo_id}"]')

    def banner(self):
        return self.tab.locator("#banner").inner_text()
