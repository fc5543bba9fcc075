"""The demo: photos in, and what became of each of them, measured as someone who asks ClickHouse would see it."""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles

from clickhouse_connect.driver.client import Client

from ops.publish import File, Uploader
from ops.tail import Tail
from schemas.errors import Reason
from schemas.events import PhotoAdmitted, PhotoUploaded
from streams.settings import Settings

SAMPLES = Path(__file__).parent / "samples"
_POLL_SECONDS = 0.05
_EPOCH = datetime.fromtimestamp(0, UTC)
_OVERLAP = timedelta(seconds=5)
"""A row may become visible after one that was stored later: each look goes back over this much."""

_ARRIVED = """
SELECT photo_id, stored_at FROM photo_enrichments WHERE owner_id = {owner:String} AND stored_at > {after:DateTime64(3)}
UNION ALL
SELECT photo_id, stored_at FROM dead_letters WHERE owner_id = {owner:String} AND stored_at > {after:DateTime64(3)}
"""
_ENRICHED = "SELECT photo_id, arrayZip(labels.name, labels.score) AS seen FROM photos WHERE owner_id = {owner:String}"
_REJECTED = "SELECT photo_id, reason, detail FROM dead_letters WHERE owner_id = {owner:String}"
_ROWS = "SELECT count() FROM photo_enrichments WHERE owner_id = {owner:String}"
_COPIES = "SELECT representative, photo_ids FROM exact_duplicates WHERE owner_id = {owner:String}"


class Unfinished(Exception):  # noqa: N818 (named by what was found)
    """Photos without an outcome when the time was over; one line that says where to look."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A photo that was published."""

    name: str
    event: PhotoUploaded


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a photo: labels with scores, or why it was rejected."""

    labels: Sequence[tuple[str, float]] = ()
    reason: Reason | None = None
    detail: str = ""


@dataclass(slots=True)
class Demo:
    """One run: an owner of its own, so that its figures are its own whatever ran before."""

    settings: Settings
    clickhouse: Client
    owner_id: str = field(default_factory=lambda: f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    sent: list[Sent] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    """Each exact copy, and the photo that stands for it."""
    elapsed_seconds: float = 0.0

    def publish(self, files: Iterable[File], uploader: Uploader) -> None:
        """Upload every photo."""
        self.sent.extend(Sent(file.name, uploader.upload(file)) for file in files)

    def publish_wrong_digest(self, file: File, uploader: Uploader, publish: Callable[[PhotoUploaded], None]) -> None:
        """An event that claims other bytes than those at its object_uri, as an uploader with a bug would send it."""
        name = f"wrong digest of {file.name}"
        right = uploader.event(replace(file, name=name), file.path.read_bytes())
        wrong = replace(right, content_sha256=hashlib.sha256(b"not this photo").digest(), uploaded_at=datetime.now(UTC))
        publish(wrong)
        self.sent.append(Sent(name, wrong))

    def wait(self, *, within_seconds: float, progress: Callable[[int, int], None]) -> None:
        """Until every photo has its outcome; `progress` is told how many of how many have. Raises Unfinished.

        Then `seconds` says of each photo how long it took from its uploaded_at until a query showed its outcome.
        """
        uploaded = {sent.event.photo_id: sent.event.uploaded_at for sent in self.sent}
        end = time.monotonic() + within_seconds
        after = _EPOCH
        while True:
            after = self._arrivals(uploaded, after)
            progress(len(self.seconds), len(uploaded))
            if len(self.seconds) == len(uploaded):
                break
            if time.monotonic() > end:
                left = len(uploaded) - len(self.seconds)
                raise Unfinished(
                    f"{left} of {len(uploaded)} photos have no outcome: `safelight status` says what is behind"
                )
            time.sleep(_POLL_SECONDS)
        if uploaded:
            self.elapsed_seconds = (datetime.now(UTC) - min(uploaded.values())).total_seconds()
        self._read_outcomes()

    def _arrivals(self, uploaded: dict[str, datetime], after: datetime) -> datetime:
        parameters = {"owner": self.owner_id, "after": after - _OVERLAP}
        rows = self.clickhouse.query(_ARRIVED, parameters).result_rows
        now = datetime.now(UTC)
        for photo_id, _ in rows:
            if photo_id not in self.seconds:
                self.seconds[photo_id] = (now - uploaded[photo_id]).total_seconds()
        latest: datetime = max([after, *(stored_at for _, stored_at in rows)])
        return latest

    def _read_outcomes(self) -> None:
        owner = {"owner": self.owner_id}
        for photo_id, reason, detail in self.clickhouse.query(_REJECTED, owner).result_rows:
            self.outcomes[photo_id] = Outcome(reason=Reason(reason), detail=detail)
        for photo_id, labels in self.clickhouse.query(_ENRICHED, owner).result_rows:
            self.outcomes[photo_id] = Outcome(labels)
        for representative, photo_ids in self.clickhouse.query(_COPIES, owner).result_rows:
            self.copies.update({photo_id: representative for photo_id in photo_ids if photo_id != representative})

    def figures(self, admitted: Tail, dashboard_url: str) -> dict[str, object]:
        """The run in numbers; `admitted` was opened before the first photo was published."""
        taken = {event.event_id for event in admitted.events(PhotoAdmitted) if event.owner_id == self.owner_id}
        waits = list(self.seconds.values())
        cuts = quantiles(waits, n=100, method="inclusive") if len(waits) > 1 else waits * 99
        return {
            "published": len(self.sent),
            "admitted": len(taken),
            "exact_duplicates": len(self.copies),
            "near_duplicates": 0,  # no agent looks for them yet
            "enriched": sum(outcome.reason is None for outcome in self.outcomes.values()),
            "dead_letters": sum(outcome.reason is not None for outcome in self.outcomes.values()),
            "rows": self._rows(),
            "elapsed_seconds": round(self.elapsed_seconds, 3),
            "photos_per_second": round(len(self.sent) / self.elapsed_seconds, 2) if self.elapsed_seconds else 0.0,
            "e2e_p50_seconds": round(cuts[49], 3) if cuts else None,
            "e2e_p99_seconds": round(cuts[98], 3) if cuts else None,
            "dashboard_url": dashboard_url,
        }

    def _rows(self) -> int:
        rows: Sequence[Sequence[int]] = self.clickhouse.query(_ROWS, {"owner": self.owner_id}).result_rows
        return rows[0][0]
