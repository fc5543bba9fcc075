"""obstore's errors as ours. Its messages name objects, hosts and what a server said, so they go no further."""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError, PermissionDeniedError

from agents.photo.status import refused
from agents.photo.store import CHUNK_BYTES
from schemas.errors import Reason, Rejected, Unavailable

if TYPE_CHECKING:
    from obstore import GetResult

_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_NO_BUCKET = re.compile("<Code>(NoSuchBucket|ContainerNotFound)</Code>")
_NO_NAME = re.compile("<Code>(KeyTooLongError|InvalidUri|InvalidURI|XMinioInvalidObjectName)</Code>")
_WRONG_REGION = "Received redirect without LOCATION"


@contextmanager
def translated(root: str) -> Iterator[None]:
    """The body only calls obstore. Raises Rejected, Refuses or Unavailable."""
    try:
        yield
    except FileNotFoundError as error:
        if _NO_BUCKET.search(str(error)):
            raise Unavailable(root, "there is no such bucket: create it, or correct the root") from error
        raise Rejected(Reason.OBJECT_MISSING, "there is no object at object_uri") from error
    except ValueError as error:  # of a path that it cannot express
        raise Rejected(Reason.OBJECT_NOT_ALLOWED, "object_uri cannot be a name in this object store") from error
    except (BaseError, OSError) as error:
        said = str(error)
        if _NO_NAME.search(said):
            raise Rejected(Reason.OBJECT_NOT_ALLOWED, "object_uri cannot be a name in this object store") from error
        if _WRONG_REGION in said:
            raise Unavailable(root, "it is in another region: correct AWS_REGION") from error
        status = _STATUS.search(said)
        if status is None and isinstance(error, PermissionDeniedError):
            raise refused(root, 403) from error
        if status is None:
            raise Unavailable(root, "no proper answer") from error
        raise refused(root, int(status[1])) from error


async def chunks(root: str, answer: "GetResult") -> AsyncGenerator[memoryview, None]:
    """What obstore streams. Raises Unavailable when that ends too early."""
    # Not around the `yield`: what goes wrong with a chunk is not the store's fault.
    stream = aiter(answer.stream(min_chunk_size=CHUNK_BYTES))
    while True:
        with translated(root):
            chunk = await anext(stream, None)
        if chunk is None:
            return
        yield memoryview(chunk)
