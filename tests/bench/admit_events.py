"""The events of tests/bench/admit.py: uploads as services publish them, one in ten of them a repeat of an earlier one."""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from schemas import codec
from schemas.events import PhotoUploaded

OWNERS = 5_000
REPEATS = 0.1
_SOURCES = ("upload-api", "ios", "android", "sync")
_MEDIA_TYPES = ("image/jpeg", "image/jpeg", "image/heic", "image/png")


class Upload(NamedTuple):
    """One event as it is published."""

    key: bytes
    value: bytes


def uploads(count: int, *, seed: int = 7) -> Iterator[tuple[Upload, bool]]:
    """Each with whether it is a repeat. The same for the same seed, but for the time of upload, which is now."""
    chance = random.Random(seed)
    now = datetime.now(UTC)
    first: list[Upload] = []
    for number in range(count):
        if first and chance.random() < REPEATS:
            yield chance.choice(first), True
            continue
        event = _upload(chance, number, now)
        first.append(Upload(event.owner_id.encode(), codec.encode(event)))
        yield first[-1], False


def _upload(chance: random.Random, number: int, now: datetime) -> PhotoUploaded:
    owner = f"owner-{chance.randrange(OWNERS):05}"
    content = sha256(f"{number}".encode()).digest()
    uploaded = now - timedelta(milliseconds=chance.randrange(60_000))
    captured = uploaded - timedelta(seconds=chance.randrange(10**8))
    event_id = uuid.UUID(int=chance.getrandbits(128), version=4)
    return PhotoUploaded(
        event_id=str(event_id),
        photo_id=f"IMG_{number:07}",
        owner_id=owner,
        object_uri=f"s3://photos/{owner}/{captured:%Y/%m}/{event_id}.jpg",
        content_sha256=content,
        size_bytes=chance.randrange(200_000, 12_000_000),
        media_type=chance.choice(_MEDIA_TYPES),
        captured_at=captured if chance.random() < 0.9 else None,
        uploaded_at=uploaded,
        source=chance.choice(_SOURCES),
        traceparent=f"00-{chance.getrandbits(128) or 1:032x}-{chance.getrandbits(64) or 1:016x}-01",
    )
