"""s3, gs and az roots: buckets, read through obstore.

Where a bucket's requests go (the cloud, or the endpoint in AWS_ENDPOINT_URL and its like) and with which credentials, obstore
takes from the environment: it is the operator's choice. A photo's event only chooses the key. So the endpoint is checked when
the root is opened, its name before the first read; obstore resolves it again by itself, and follows a redirect of the store
itself, for which it has no switch. Neither is in the hands of whoever writes events or objects.
"""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError
from obstore.store import from_url
from yarl import URL

from agents.photo.address import CheckedResolver, check_host, is_address
from agents.photo.location import Location
from agents.photo.store import Found, Patience
from agents.photo.translated import chunks, translated
from schemas.errors import Unavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""Variables in which obstore looks for the URL of a store that is not the cloud's own."""

_FAMILIES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
_EMULATOR = ("AZURE_STORAGE_USE_EMULATOR", "AZURE_USE_EMULATOR")

_URL = re.compile(r"[!-~]+")
"""Characters that a URL is made of. obstore panics on others."""

_RETRY: "RetryConfig" = {"max_retries": 0}
"""agents/retry.py waits, and says so."""


class Bucket:
    """A bucket, or what lies under a prefix in it. See agents/photo/store.py."""

    def __init__(self, root: Location, *, name: str, private: bool, patience: Patience) -> None:
        """Raises ValueError, in words that hold no secret."""
        self._name = name
        self._depth = len(root.segments)
        self._store, names = open_bucket(root, name=name, private=private, patience=patience, retry=_RETRY)
        self._unchecked = [] if private else names

    @asynccontextmanager
    async def open(self, location: Location) -> AsyncIterator[Found]:
        """See Store."""
        await self._check_names()
        with translated(self._name):
            answer = await self._store.get_async("/".join(location.segments[self._depth :]))
        yield Found(answer.meta["size"], chunks(self._name, answer))

    async def close(self) -> None:
        """Connections are closed by obstore itself."""

    async def _check_names(self) -> None:
        for host in self._unchecked:
            try:
                await CheckedResolver(self._name, private=False).resolve(host)
            except OSError as error:
                raise Unavailable(self._name, "the name of its endpoint cannot be resolved") from error
        self._unchecked = []


def open_bucket(
    root: Location, *, name: str, private: bool, patience: Patience, retry: "RetryConfig | None" = None
) -> "tuple[ObjectStore, list[str]]":
    """The store, which was not called yet, and the names in its endpoint that are still to be resolved and checked.

    `retry` is obstore's own default unless given.
    Raises ValueError, in words that hold no secret.
    """
    hosts = [_host(variable, endpoint, private=private) for variable, endpoint in _endpoints(root.scheme)]
    try:
        store = from_url(
            name,
            client_options={
                "allow_http": private,
                "connect_timeout": patience.connect,
                "read_timeout": patience.silence,
                "timeout": patience.whole,
            },
            retry_config=retry,
        )
    except BaseError as error:
        raise ValueError(_without_secrets(str(error).splitlines()[0], _FAMILIES[root.scheme])) from None
    return store, [host for host in hosts if not is_address(host)]


def _endpoints(scheme: str) -> list[tuple[str, str]]:
    # As obstore reads them: it does not mind the case.
    wanted = [name.lower() for name in ENDPOINTS[scheme]]
    found = [(name, value) for name, value in os.environ.items() if name.lower() in wanted]
    if scheme == "az" and any(
        os.environ.get(name, "").lower() in ("1", "true", "on", "yes", "y") for name in _EMULATOR
    ):
        found.append((_EMULATOR[0], os.environ.get("AZURITE_BLOB_STORAGE_URL", "http://127.0.0.1:10000")))
    return found


def _host(variable: str, endpoint: str, *, private: bool) -> str:
    """The endpoint's host. Raises ValueError, which does not repeat the endpoint: somebody may have put a password into it."""
    try:
        url = URL(endpoint)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host or "@" in url.authority or not _URL.fullmatch(endpoint):
        raise ValueError(f"{variable} is no URL such as https://minio.example.com:9000, without a user name")
    if url.scheme == "http" and not private:
        raise ValueError(
            f"{variable} is http, which is read only inside your own network: if it lies there, list the root in "
            "SAFELIGHT_PRIVATE_ROOTS, else use https"
        )
    try:
        check_host(url.host, private=private)
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from None
    return url.host


def _without_secrets(said: str, family: str) -> str:
    """What obstore says, which quotes what it cannot read, with a variable's name instead of its value."""
    for name, value in os.environ.items():
        secret = value.strip('"')
        if name.startswith(family) and len(secret) > 3:
            said = said.replace(secret, name)
    return said
