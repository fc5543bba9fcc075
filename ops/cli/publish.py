"""`safelight publish`: folders of photos into the stack."""

import json
import time
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from agents.photo.root import parse_root
from ops.cli.report import progress, stdout
from ops.publish import Found, PublishError, Uploader, find_photos
from schemas.topics import EVENTS
from streams.producer import PhotoProducer
from streams.settings import Settings


def publish(paths: list[Path], *, owner: str, source: str, rate: float, to: str, as_json: bool) -> None:
    """Upload what is found, print the summary; PublishError, at the end, when something was not published."""
    settings = Settings.read()
    root = to or next(iter(settings.object_roots), "")
    if not root:
        raise PublishError("no object root to upload to: start a stack (`safelight up`), or set SAFELIGHT_OBJECT_ROOTS")
    found = find_photos(paths)
    began = time.monotonic()
    with PhotoProducer(settings.brokers, topic=settings.topic(EVENTS)) as producer:
        private = parse_root("--to", root) in {
            parse_root("SAFELIGHT_PRIVATE_ROOTS", url) for url in settings.private_roots
        }
        uploader = Uploader(root=root, private=private, owner_id=owner, source=source, producer=producer)
        failed = _upload(found, uploader, rate)
    seconds = time.monotonic() - began
    published = len(found.photos) - len(failed)
    console = stdout()
    if as_json:
        summary = {"published": published, "failed": failed, "skipped": found.skipped, "seconds": round(seconds, 3)}
        console.print_json(json.dumps(summary))
    else:
        console.print(
            f"{published} photos published in {seconds:.1f} s ({published / seconds:.1f} photos/s)", highlight=False
        )
        if found.skipped:
            kinds = ", ".join(f"{count} {kind}" for kind, count in found.skipped.most_common())
            console.print(
                f"{found.skipped.total()} files passed over, no photos: {kinds}", highlight=False, markup=False
            )
    if failed:
        raise PublishError(f"{len(failed)} photos were not published, the first: {failed[0]}")


def _upload(found: Found, uploader: Uploader, rate: float) -> list[str]:
    """Upload all, go on past a file that cannot be read; what failed, a line each."""
    failed = []
    columns = (TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress(*columns) as bars:
        began = time.monotonic()
        for count, file in enumerate(bars.track(found.photos)):
            if rate:
                time.sleep(max(0.0, began + count / rate - time.monotonic()))
            try:
                uploader.upload(file)
            except PublishError as error:
                failed.append(str(error))
    return failed
