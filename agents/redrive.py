"""What an uploaded event stems from: itself or, if it is a redrive, the earlier upload that it carries.

Whoever may publish to photos.events may set the field, so it must not buy what a plain event does not. It cannot: the root that it
names is older than its own place, in its own partition, and of two outcomes of a photo group lets the newer root decide. So it
replaces nothing that is newer, resurrects nothing that was deleted since, and costs one look an event, as any upload does.

What remains: that the root *was* this owner's photo admit cannot check, since its memory has hashes alone. A service that may
publish for an owner can use up the three redrives of that owner's uploads, with the very photo and content only, and each by a
real look; and it can give its outcome a root that was another photo's, which the command, comparing ids, passes over. Uploading
again helps in both cases.
"""

from schemas.errors import Reason, Rejected
from schemas.events import PhotoUploaded, Root
from schemas.redrive import MOST_ATTEMPTS, event_id_of


def lineage(event: PhotoUploaded, here: Root) -> tuple[Root, int]:
    """Root and attempt of an event that was read `here`. Raises Rejected for a redrive that is none."""
    redrive = event.redrive
    if redrive is None:
        return here, 0
    root = redrive.root
    if (root.generation, root.partition) != (here.generation, here.partition):
        raise _invalid(
            f"its root is in partition {root.partition} of generation {root.generation}, "
            f"and it came in partition {here.partition} of generation {here.generation}"
        )
    if not 0 <= root.offset < here.offset:
        raise _invalid(f"its root, offset {root.offset}, is not older than the event, offset {here.offset}")
    if not 1 <= redrive.attempt <= MOST_ATTEMPTS:
        raise _invalid(f"its attempt is {redrive.attempt}, outside 1 to {MOST_ATTEMPTS}")
    if event.event_id != event_id_of(redrive):
        raise _invalid(f"its event_id is not {event_id_of(redrive)}")
    return root, redrive.attempt


def lineage_of_refused(event: PhotoUploaded, here: Root) -> tuple[Root, int]:
    """The same of an event that is rejected, for whatever reason: what a redrive that is none carries counts for nothing."""
    try:
        return lineage(event, here)
    except Rejected:
        return here, 0


def _invalid(what: str) -> Rejected:
    return Rejected(Reason.INVALID_REDRIVE, f"redrive: {what}")
