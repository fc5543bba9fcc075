"""Objects as enrich reads them."""

import hashlib

import pytest

from agents.photo.fetch import Objects
from schemas.errors import Rejected
from tests.support.batches import Counted

PHOTO = bytes(range(256)) * 20_000
"""5 MB: several chunks."""


class Reader:
    """Reads what an event names, which it describes truly unless told otherwise."""

    def __init__(self, *roots, **settings):
        self._objects = Objects(roots, **({"max_object_bytes": 1 << 30, "measure": Counted()} | settings))
        self.find = self._objects.find
        self.close = self._objects.close

    async def read(self, uri, content=PHOTO, **fields):
        root, location = self._objects.find(uri)
        told = {"size_bytes": len(content), "sha256": hashlib.sha256(content).digest()} | fields
        return await self._objects.read(root, location, **told)

    async def rejection(self, uri, content=PHOTO, **fields):
        """The reason and the detail."""
        with pytest.raises(Rejected) as caught:
            await self.read(uri, content, **fields)
        return caught.value.reason, caught.value.detail


@pytest.fixture
async def objects():
    """Makes a Reader of roots, which is closed with the test."""
    readers = []

    def opened(*roots, **settings):
        readers.append(Reader(*roots, **settings))
        return readers[-1]

    yield opened
    for reader in readers:
        await reader.close()
