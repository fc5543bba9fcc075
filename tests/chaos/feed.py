"""The seeded stream of events: photos of many owners, one in ten a repeat, one in a hundred at fault in one of many ways, and at first one in twenty.

Each fault is certain by construction, so the feeder knows what must become of every record without asking the pipeline.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from confluent_kafka import Producer
from PIL import Image

from schemas import codec
from schemas.errors import Reason
from schemas.events import PhotoUploaded
from schemas.partitioning import partition_of
from schemas.topics import EVENTS
from streams.settings import Settings
from tests.chaos.sent import Fate, Sent

_OWNERS = 40
_COPIES = 1 / 3  # of the photos have a content that an earlier one had, of whatever owner
_REPEATS = 0.1
_FAULTS = 0.01
_FIRST_FAULTS = 20  # of so many records one is at fault until there was every kind: a short feed has them all, too


@dataclass(frozen=True, slots=True)
class Draft:
    """A record before it is sent. `partition` -1: by the key."""

    value: bytes | None
    key: bytes
    fate: Fate
    reason: str = ""
    partition: int = -1
    owner_id: str = ""
    photo_id: str = ""
    event_id: str = ""
    fault: str = ""  # one of Drafts.FAULTS


class Album:
    """Small photos in an object root, and files there that are none."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._rng = rng
        self._pixels = np.random.default_rng(rng.randrange(2**32))
        self._photos: list[tuple[str, bytes, int]] = []
        whole = _jpeg(self._new())
        self.text = self._keep(b"this is no photo, whatever its name says", ".jpg")
        self.torn = self._keep(whole[: len(whole) // 2], ".jpg")

    def photo(self) -> tuple[str, bytes, int]:
        """A photo, new or there already: where it is, its digest and its size."""
        if not self._photos or self._rng.random() >= _COPIES:
            self._photos.append(self._keep(_jpeg(self._new()), ".jpg"))
            return self._photos[-1]
        return self._rng.choice(self._photos)

    def _new(self) -> np.ndarray:
        return self._pixels.integers(0, 256, (6, 8, 3), np.uint8)

    def _keep(self, content: bytes, suffix: str) -> tuple[str, bytes, int]:
        digest = sha256(content)
        path = self._folder / f"{digest.hexdigest()}{suffix}"
        while True:
            try:
                path.write_bytes(content)
            except FileNotFoundError:  # the weather has taken the folder away for a while
                time.sleep(0.05)
            else:
                return path.as_uri(), digest.digest(), len(content)


def _jpeg(pixels: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).resize((96, 72)).save(out, "JPEG")
    return out.getvalue()


class Drafts:
    """Endless; the same for the same seed, times aside."""

    def __init__(self, seed: int, album: Album, settings: Settings) -> None:
        self._rng = random.Random(seed)
        self._album = album
        self._settings = settings
        self._sent: list[Draft] = []
        self._faults = 0

    def __iter__(self) -> Iterator[Draft]:
        number = 0
        while True:
            number += 1
            chance = self._rng.random()
            first = self._faults < len(self.FAULTS)
            if (first and number % _FIRST_FAULTS == 0) or (not first and _REPEATS <= chance < _REPEATS + _FAULTS):
                yield self._faulty(number)
            elif self._sent and chance < _REPEATS:
                yield replace(self._rng.choice(self._sent[-500:]), fate=Fate.REPEAT, reason="")
            else:
                draft = self._draft(self._photo(number))
                self._sent.append(draft)
                yield draft

    def _photo(self, number: int, **changes: object) -> PhotoUploaded:
        uri, digest, size = self._album.photo()
        fields = {
            "event_id": f"event-{number}",
            "photo_id": f"photo-{number}",
            "owner_id": f"owner-{self._rng.randrange(_OWNERS)}",
            "object_uri": uri,
            "content_sha256": digest,
            "size_bytes": size,
            "media_type": "image/jpeg",
            "uploaded_at": datetime.now(UTC).replace(microsecond=0),
            "source": "chaos",
        }
        return PhotoUploaded(**(fields | changes))

    def _draft(self, event: PhotoUploaded, fate: Fate = Fate.ENRICHED, reason: str = "", **changes: object) -> Draft:
        known = {"owner_id": event.owner_id, "photo_id": event.photo_id, "event_id": event.event_id}
        key = event.owner_id.encode()
        return Draft(codec.encode(event), key, fate, reason, **(known | changes))

    def _faulty(self, number: int) -> Draft:
        """Each kind in turn."""
        fault = list(self.FAULTS)[self._faults % len(self.FAULTS)]
        self._faults += 1
        return replace(self.FAULTS[fault](self, number), fault=fault)

    def _no_avro(self, number: int) -> Draft:
        return Draft(b"{}%d" % number, b"nobody", Fate.DEAD_LETTER, Reason.UNREADABLE_EVENT)

    def _no_value(self, number: int) -> Draft:
        return Draft(None, b"nobody", Fate.DEAD_LETTER, Reason.UNREADABLE_EVENT)

    def _of_nobody(self, number: int) -> Draft:
        event = self._photo(number, owner_id="")
        return Draft(codec.encode(event), b"nobody", Fate.DEAD_LETTER, Reason.INVALID_EVENT)

    def _of_no_size(self, number: int) -> Draft:
        return self._draft(self._photo(number, size_bytes=0), Fate.REJECTED, Reason.INVALID_EVENT)

    def _in_a_wrong_partition(self, number: int) -> Draft:
        event = self._photo(number)
        partitions = self._settings.partitions
        wrong = (partition_of(event.owner_id.encode(), partitions) + 1) % partitions
        return self._draft(event, Fate.REJECTED, Reason.WRONG_PARTITION, partition=wrong)

    def _under_a_used_id(self, number: int) -> Draft:
        first = self._rng.choice(self._sent[-500:])
        event = self._photo(number, event_id=first.event_id, owner_id=first.owner_id)
        digest = sha256(b"other bytes %d" % number).digest()
        return self._draft(replace(event, content_sha256=digest), Fate.REJECTED, Reason.EVENT_ID_REUSED)

    def _without_object(self, number: int) -> Draft:
        uri = f"{self._settings.object_roots[0]}/never-there-{number}.jpg"
        return self._draft(self._photo(number, object_uri=uri), Fate.REJECTED, Reason.OBJECT_MISSING)

    def _of_another_digest(self, number: int) -> Draft:
        digest = sha256(b"another %d" % number).digest()
        return self._draft(self._photo(number, content_sha256=digest), Fate.REJECTED, Reason.WRONG_SHA256)

    def _of_text(self, number: int) -> Draft:
        return self._draft(self._of(number, self._album.text), Fate.REJECTED, Reason.NOT_A_PHOTO)

    def _torn(self, number: int) -> Draft:
        return self._draft(self._of(number, self._album.torn), Fate.REJECTED, Reason.DAMAGED_PHOTO)

    def _elsewhere(self, number: int) -> Draft:
        event = self._photo(number, object_uri="file:///etc/passwd")
        return self._draft(event, Fate.REJECTED, Reason.OBJECT_NOT_ALLOWED)

    def _of(self, number: int, file: tuple[str, bytes, int]) -> PhotoUploaded:
        uri, digest, size = file
        return self._photo(number, object_uri=uri, content_sha256=digest, size_bytes=size)

    FAULTS: Mapping[str, Callable[["Drafts", int], Draft]] = {
        "no Avro": _no_avro,
        "no value": _no_value,
        "no owner": _of_nobody,
        "no size": _of_no_size,
        "wrong partition": _in_a_wrong_partition,
        "used event id": _under_a_used_id,
        "no object": _without_object,
        "another digest": _of_another_digest,
        "no photo": _of_text,
        "torn photo": _torn,
        "outside the roots": _elsewhere,
    }


class Feed(threading.Thread):
    """Publishes drafts at a rate until it is told to stop; `sent` is whole once it has ended."""

    def __init__(self, settings: Settings, drafts: Drafts, *, rate: float) -> None:
        """`rate`: records a second; a broker that is away is waited for."""
        super().__init__(name="feed", daemon=True)
        self.sent: list[Sent] = []
        self.faults: Counter[str] = Counter()  # of what was sent
        self.error: str = ""
        self._topic = settings.topic(EVENTS)
        self._drafts = drafts
        self._rate = rate
        self._enough = threading.Event()
        self._flowing = threading.Event()
        self._flowing.set()
        self._producer = Producer(
            {
                "bootstrap.servers": settings.brokers,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,  # acknowledged once, and in order, through every restart of the broker
                "message.timeout.ms": 0,
                "linger.ms": 5,
                "log_level": 0,
            }
        )

    def run(self) -> None:
        """Publish."""
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 (whatever it is, the round has to tell)
            self.error = f"{type(error).__name__}: {error}"

    def _run(self) -> None:
        due = time.monotonic()
        for draft in self._drafts:
            self._flowing.wait()
            due = max(due + 1 / self._rate, time.monotonic() - 0.1)  # what a pause has cost is not caught up with
            if self._enough.wait(max(0.0, due - time.monotonic())):
                break
            self._publish(draft)
        self._producer.flush()

    def flow(self, *, on: bool) -> None:
        """Go on, or wait: more than the agents can carry would only make the end longer."""
        if on:
            self._flowing.set()
        else:
            self._flowing.clear()

    def stop(self) -> None:
        """Send no more, and wait until all is acknowledged."""
        self._enough.set()
        self._flowing.set()
        self.join()

    def _publish(self, draft: Draft) -> None:
        def acknowledged(error: object, message: object) -> None:
            if error is not None:
                self.error = str(error)
                return
            if draft.fault:
                self.faults[draft.fault] += 1
            self.sent.append(
                Sent(
                    message.partition(),
                    message.offset(),
                    draft.value,
                    draft.fate,
                    draft.reason,
                    draft.owner_id,
                    draft.photo_id,
                    draft.event_id,
                )
            )

        self._producer.produce(self._topic, draft.value, draft.key, draft.partition, on_delivery=acknowledged)
        self._producer.poll(0)
