"""Uploading photos from folders: find them, put each into the object store, publish its event.

What an upload service does, for one machine. Publishing a folder twice adds nothing: ids are made from the owner, the path
relative to the folder, and the content.
"""

import hashlib
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from obstore.exceptions import BaseError
from obstore.store import from_url

from agents.photo.bucket import open_bucket
from agents.photo.root import parse_root
from agents.photo.store import Patience
from schemas.errors import StrangeWorld
from schemas.events import PhotoUploaded

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MEDIA_TYPES = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
}
"""What counts as a photo, by the file's suffix. Whether it is one, and of which kind, the bytes decide later."""

_NAMES = uuid.UUID("7c2f1a52-6f0f-5e0b-9d0d-2f7a4c1b8e11")


class PublishError(Exception):
    """What keeps photos from being published; one line that says what to do."""


@dataclass(frozen=True, slots=True)
class File:
    """A photo in a folder; `name` is its path relative to the folder that was asked for."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Found:
    """The photos under some paths, and how many files of each other kind were passed over."""

    photos: list[File] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def find_photos(paths: Iterable[Path]) -> Found:
    """Every photo under the paths, in a stable order. What is hidden, and links to folders, are passed over.

    What is hidden is no photo of the user's: previews, and what a Mac writes beside each file (._IMG_1.HEIC).
    """
    found = Found()
    for root in paths:
        if not root.exists():
            raise PublishError(f"{readable(str(root))} does not exist: name a photo, or a folder of photos")
        for path in sorted(_files(root)):
            suffix = path.suffix.lower()
            inside = Path(path.name) if path == root else path.relative_to(root)
            hidden = path != root and any(part.startswith(".") for part in inside.parts)
            if suffix in MEDIA_TYPES and not hidden:
                found.photos.append(File(path, readable(inside.as_posix())))
            else:
                kind = suffix or readable(path.name)
                found.skipped[f"hidden {kind}" if hidden and suffix else kind] += 1
    return found


def readable(name: str) -> str:
    """A file's name as text: bytes in it that are none (of another time's or system's encoding) are spelled out."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _files(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (path for path in root.rglob("*") if path.is_file())
    else:
        yield root


class Producer(Protocol):
    """Where events go (streams.producer.PhotoProducer)."""

    def publish(self, event: PhotoUploaded) -> None:
        """Take the event; it may be delivered later."""


class Uploader:
    """Puts photos into an object root and publishes an event for each."""

    def __init__(
        self,
        *,
        root: str,
        private: bool = False,
        owner_id: str,
        source: str,
        producer: Producer,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """`private`: the root is one of SAFELIGHT_PRIVATE_ROOTS. Raises PublishError when it is no place that can be written to."""
        self._root = root.rstrip("/")
        self._owner_id = owner_id
        self._source = source
        self._producer = producer
        self._now = now or (lambda: datetime.now(UTC))
        self._store = _open(self._root, private=private)

    def upload(self, file: File) -> PhotoUploaded:
        """Store the photo, publish its event, and return that. Raises PublishError when it cannot be read or stored."""
        try:
            content = file.path.read_bytes()
        except OSError as error:
            raise PublishError(f"cannot read {readable(str(file.path))}: {error.strerror}") from error
        if not content:
            raise PublishError(f"{readable(str(file.path))} is empty")
        event = self.event(file, content)
        self._put(event.object_uri.removeprefix(f"{self._root}/"), content)
        self._producer.publish(event)
        return event

    def event(self, file: File, content: bytes) -> PhotoUploaded:
        """The event that a file's upload publishes. The same owner, name and content always give the same ids."""
        digest = hashlib.sha256(content).digest()
        suffix = file.path.suffix.lower()
        # An owner's name may hold anything: as a folder it is a digest.
        folder = hashlib.sha256(self._owner_id.encode()).hexdigest()[:16]
        return PhotoUploaded(
            event_id=str(uuid.uuid5(_NAMES, f"event\0{self._owner_id}\0{file.name}\0{digest.hex()}")),
            photo_id=str(uuid.uuid5(_NAMES, f"photo\0{self._owner_id}\0{file.name}")),
            owner_id=self._owner_id,
            object_uri=f"{self._root}/{folder}/{digest.hex()}{suffix}",
            content_sha256=digest,
            size_bytes=len(content),
            media_type=MEDIA_TYPES[suffix],
            uploaded_at=self._now(),
            source=self._source,
        )

    def _put(self, key: str, content: bytes) -> None:
        try:
            try:
                if self._store.head(key)["size"] == len(content):
                    return  # the name is the content's digest: it is there already
            except FileNotFoundError:
                pass
            self._store.put(key, content)
        except (BaseError, OSError) as error:
            raise PublishError(f"cannot store into {self._root}: {str(error).splitlines()[0]}") from error


def _open(root: str, *, private: bool) -> "ObjectStore":
    try:
        location = parse_root("the root to upload to", root)
    except StrangeWorld as error:  # which, unlike the URL, holds no secret
        raise PublishError(str(error)) from error
    try:
        if location.scheme == "file":
            return from_url(root)
        if location.scheme in {"http", "https"}:
            return from_url(root, client_options={"allow_http": private})
        return open_bucket(location, name=root, private=private, patience=Patience())[0]
    except (BaseError, ValueError) as error:
        raise PublishError(f"cannot upload to {root}: {str(error).splitlines()[0]}") from error
