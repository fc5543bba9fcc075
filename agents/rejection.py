"""What becomes of a photo that is rejected, at whatever stage."""

import dataclasses
from datetime import datetime

from schemas.errors import Rejected
from schemas.events import PhotoAdmitted, PhotoEnriched, PhotoRejected, PhotoUploaded, Root

_FIELDS = frozenset(field.name for field in dataclasses.fields(PhotoRejected))

Photo = PhotoUploaded | PhotoAdmitted | PhotoEnriched | PhotoRejected


def rejection(
    photo: Photo,
    why: Rejected,
    *,
    stage: str,
    at: datetime,
    version: str,
    lineage: tuple[Root, int] | None = None,
) -> PhotoRejected:
    """The photo as far as a PhotoRejected tells it, and why. `lineage`: root and attempt of an upload, which has none yet."""
    known = {name: value for name, value in vars(photo).items() if name in _FIELDS}
    if lineage is not None:
        known["root"], known["attempt"] = lineage
    reason = {"stage": stage, "reason": why.reason, "detail": why.detail, "rejected_at": at, "worker_version": version}
    return PhotoRejected(**(known | reason))
