"""One place under which photos may be read, whatever kind of store is behind it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from agents.photo.bucket import Bucket
from agents.photo.folder import Folder
from agents.photo.location import Location
from agents.photo.store import Found, Patience, Refuses, Store
from agents.photo.web import Web
from schemas.errors import Reason, Rejected, StrangeWorld


class Root:
    """A configured root: its name, its location, its objects."""

    def __init__(self, url: str, *, private: bool = False, patience: Patience | None = None) -> None:
        """`private`: it lies in the operator's own network. Raises StrangeWorld, in one line that holds no secret."""
        self.location = parse_root("SAFELIGHT_OBJECT_ROOTS", url)
        self.name = url
        self._served: Location | None = None  # an object that could be read
        try:
            self._store = self._open(private=private, patience=patience or Patience())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StrangeWorld(
                f"SAFELIGHT_OBJECT_ROOTS: {url} cannot be opened ({reason}); correct or create it"
            ) from error

    def _open(self, *, private: bool, patience: Patience) -> Store:
        match self.location.scheme:
            case "file":
                return Folder(self.location, name=self.name, patience=patience)
            case "http" | "https":
                return Web(self.location, name=self.name, private=private, patience=patience)
        return Bucket(self.location, name=self.name, private=private, patience=patience)

    @asynccontextmanager
    async def open(self, location: Location) -> AsyncIterator[Found]:
        """The object, which lies under the root, for the block. Raises Rejected or Unavailable."""
        async with AsyncExitStack() as stack:
            try:
                found = await stack.enter_async_context(self._store.open(location))
            except Refuses:
                # Is it this object, or does the store no longer know us, or did it for a moment? What it served before can tell.
                if self._served is None or not await self._answers(self._served):
                    raise
                try:
                    found = await stack.enter_async_context(self._store.open(location))
                except Refuses as again:
                    raise Rejected(
                        Reason.OBJECT_NOT_ALLOWED,
                        "the store refuses this object, and serves others under the same root",
                    ) from again
            self._served = location
            yield found

    async def close(self) -> None:
        """Let go of connections."""
        await self._store.close()

    async def _answers(self, location: Location) -> bool:
        try:
            async with self._store.open(location):
                return True
        except Refuses:
            return False
        except Rejected:
            return True  # it says what is there and what is not


def parse_root(setting: str, url: str) -> Location:
    """The location that a setting names. Raises StrangeWorld, in words that do not repeat a URL that may hold a secret."""
    try:
        return Location.parse(url.rstrip("/"))
    except Rejected as why:
        raise StrangeWorld(
            f"{setting}: {why.detail.replace('object_uri', 'a root')}; give URLs such as "
            "file:///srv/photos or s3://bucket/folder"
        ) from why
