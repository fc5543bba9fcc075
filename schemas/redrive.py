"""What a redrive is: the upload as it was, in an event of its own whose id is made from (root, attempt).

So however often it is published, admit takes it once (agents/redrive.py says what else it checks).
"""

from dataclasses import replace

from schemas.events import PhotoUploaded, Redrive

MOST_ATTEMPTS = 3
"""Redrives of one upload. What is rejected four times will be a fifth time: a job that redrives for ever must come to its end."""


def event_id_of(redrive: Redrive) -> str:
    """As "redrive-1-3-42-1"."""
    root = redrive.root
    return f"redrive-{root.generation}-{root.partition}-{root.offset}-{redrive.attempt}"


def redriven(upload: PhotoUploaded, redrive: Redrive) -> PhotoUploaded:
    """The event that has the upload looked at again."""
    return replace(upload, event_id=event_id_of(redrive), redrive=redrive)
