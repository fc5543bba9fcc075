"""https and http roots: read with aiohttp, which can be told to follow no redirect and whom to connect to.

obstore can be told neither: it follows up to ten redirects, to any host, so that whoever puts a redirect under the root would
choose what safelight asks, from inside its network.
"""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import quote

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver
from yarl import URL

from agents.photo.address import CheckedResolver, check_host
from agents.photo.location import Location
from agents.photo.status import refused
from agents.photo.store import CHUNK_BYTES, Found, Patience
from schemas.errors import Reason, Rejected, SafelightError, Unavailable

_HEADERS = {"User-Agent": "safelight", "Accept-Encoding": "identity"}
"""The sha256 of an event is of the bytes as they are stored, so they are not to be compressed on the way."""

_REDIRECTS = (300, 301, 302, 303, 307, 308)

_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "no answer in time"),
    (ClientConnectorCertificateError, "its certificate cannot be trusted"),
    (ClientConnectorSSLError, "no TLS connection"),
    (ClientConnectorDNSError, "its name cannot be resolved"),
    (ClientConnectorError, "no connection"),
    (Exception, "no proper answer"),
)
"""For the first that fits. aiohttp's own messages name addresses and objects, so they go no further."""


class Web:
    """Objects under a URL. See agents/photo/store.py."""

    def __init__(
        self, root: Location, *, name: str, private: bool, patience: Patience, resolver: AbstractResolver | None = None
    ) -> None:
        """Raises ValueError, in words. `resolver` is the system's unless a test has another."""
        self._name = name
        self._private = private
        self._patience = patience
        self._resolver = resolver
        self._session: ClientSession | None = None
        self._host = URL(f"{root.scheme}://{root.host}")
        if root.scheme == "http" and not private:
            raise ValueError(
                "http is read only inside your own network: if it lies there, list it in SAFELIGHT_PRIVATE_ROOTS, else use https"
            )
        check_host(self._host.host or "", private=private)

    @asynccontextmanager
    async def open(self, location: Location) -> AsyncIterator[Found]:
        """See Store. Raises Rejected(OBJECT_NOT_ALLOWED) for a redirect."""
        path = "/".join(quote(segment, safe="") for segment in location.segments)
        with self._translated():
            response = await self._connections().get(self._host.with_path(path, encoded=True), allow_redirects=False)
        try:
            if response.status != HTTPStatus.OK:
                raise self._refused(response)
            yield Found(response.content_length, self._chunks(response))
        finally:
            response.close()  # with its connection, if there is more to read

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _chunks(self, response: ClientResponse) -> AsyncGenerator[bytes, None]:
        # Not around the `yield`: what goes wrong with a chunk is not the server's fault.
        while True:
            with self._translated():
                chunk = await response.content.read(CHUNK_BYTES)
            if not chunk:
                return
            yield chunk

    def _connections(self) -> ClientSession:
        # Of this root alone, so that one that hangs takes no connection from another. A session wants a running loop.
        if self._session is None:
            resolver = CheckedResolver(self._name, private=self._private, resolver=self._resolver)
            self._session = ClientSession(
                connector=TCPConnector(resolver=resolver, ssl=ssl.create_default_context()),
                cookie_jar=DummyCookieJar(),
                headers=_HEADERS,
                auto_decompress=False,
                timeout=ClientTimeout(
                    total=self._patience.whole.total_seconds(),
                    sock_connect=self._patience.connect.total_seconds(),
                    sock_read=self._patience.silence.total_seconds(),
                ),
            )
        return self._session

    def _refused(self, response: ClientResponse) -> SafelightError:
        if response.status in _REDIRECTS:
            return Rejected(
                Reason.OBJECT_NOT_ALLOWED,
                "object_uri redirects elsewhere, and no redirect is followed: publish the URI of the object itself",
            )
        after = response.headers.get("Retry-After", "")
        patience = timedelta(seconds=int(after[:6])) if after.isascii() and after.isdigit() else None
        return refused(self._name, response.status, retry_after=patience)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The body only calls aiohttp."""
        try:
            yield
        except (ClientError, OSError) as error:  # a TimeoutError is an OSError
            raise Unavailable(self._name, next(words for kind, words in _WORDS if isinstance(error, kind))) from error
