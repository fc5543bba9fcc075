"""Reading objects: only what lies under a configured root, only so much, and only the bytes that the event means."""

import hashlib
import time
from collections.abc import Sequence
from contextlib import aclosing

from agents.life import life
from agents.measure import Measure
from agents.photo.location import Location
from agents.photo.root import Root, parse_root
from agents.photo.store import Patience
from schemas import metrics
from schemas.errors import Reason, Rejected, StrangeWorld

_ROOTS = "SAFELIGHT_OBJECT_ROOTS"
_PRIVATE = "SAFELIGHT_PRIVATE_ROOTS"


class Objects:
    """The object stores of the configured roots."""

    def __init__(
        self,
        roots: Sequence[str],
        *,
        private_roots: Sequence[str] = (),
        max_object_bytes: int,
        measure: Measure,
        patience: Patience | None = None,
    ) -> None:
        """`private_roots` are those of the roots that lie in the operator's own network.

        Raises StrangeWorld, in one line, for a root that cannot be one.
        """
        private = _private(roots, private_roots)
        opened = [Root(url, private=parse_root(_ROOTS, url) in private, patience=patience) for url in roots]
        self._roots = sorted(opened, key=lambda root: -len(root.location.segments))
        self._max_bytes = max_object_bytes
        self._measure = measure

    @property
    def roots(self) -> Sequence[Root]:
        """Each once, deepest first."""
        return self._roots

    def find(self, uri: str) -> tuple[Root, Location]:
        """The root under which the object lies, the deepest if there are several. Raises Rejected(OBJECT_NOT_ALLOWED)."""
        location = Location.parse(uri)
        for root in self._roots:
            if location.under(root.location):
                return root, location
        raise Rejected(Reason.OBJECT_NOT_ALLOWED, "object_uri lies under none of the configured object roots")

    async def close(self) -> None:
        """Close all connections."""
        for root in self._roots:
            await root.close()

    async def read(self, root: Root, location: Location, *, size_bytes: int, sha256: bytes) -> bytes:
        """The object's bytes, which are `size_bytes` many and have this SHA-256.

        Raises Rejected: OBJECT_MISSING, OBJECT_TOO_LARGE, OBJECT_NOT_ALLOWED, WRONG_SHA256, or INVALID_EVENT if only the
        size is wrong. Raises Unavailable when the store does not answer. Never holds more than `size_bytes`.
        """
        began = time.perf_counter()
        kept: list[bytes | memoryview] = []
        digest = hashlib.sha256()
        got = 0
        async with root.open(location) as found:
            if found.size_bytes is not None and found.size_bytes > self._max_bytes:
                raise Rejected(
                    Reason.OBJECT_TOO_LARGE,
                    f"the object has {found.size_bytes} bytes, at most {self._max_bytes} are read",
                )
            # Of another size than announced, it can only be rejected, and to say why its digest is enough.
            keep = found.size_bytes in (None, size_bytes)
            async with aclosing(found.chunks) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    life().sign()
                    got += len(chunk)
                    if got > self._max_bytes:
                        raise Rejected(Reason.OBJECT_TOO_LARGE, f"the object has more than {self._max_bytes} bytes")
                    if keep and got <= size_bytes:
                        kept.append(chunk)
        self._measure.observe(metrics.FETCH, time.perf_counter() - began)
        self._measure.count(metrics.FETCHED, got)
        if digest.digest() != sha256:
            raise Rejected(
                Reason.WRONG_SHA256,
                f"content_sha256 begins with {sha256.hex()[:12]}, the SHA-256 of the object's {got} bytes "
                f"with {digest.hexdigest()[:12]}",
            )
        if got != size_bytes:
            raise Rejected(Reason.INVALID_EVENT, f"size_bytes is {size_bytes}, the object has {got} bytes")
        return b"".join(kept)


def _private(roots: Sequence[str], private_roots: Sequence[str]) -> set[Location]:
    known = {parse_root(_ROOTS, url) for url in roots}
    private = {parse_root(_PRIVATE, url): url for url in private_roots}
    for location, url in private.items():
        if location not in known:
            raise StrangeWorld(f"{_PRIVATE}: {url} is none of {_ROOTS}; list it there too, or nowhere")
    return set(private)
