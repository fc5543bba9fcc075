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

# The message quotes the key, which whoever wrote the event chose, and which may imitate an answer. Behind this line it does so only
# inside quotation marks, and a key has no line breaks.
_FOR_DEBUGGING = "\n\nDebug source:\n"
_STATUS = re.compile(r"^ +status: (\d{3}),$", re.MULTILINE)
_BODY = re.compile(r'^ +body: Some\(\n +"(.*)",$', re.MULTILINE)
_NO_BUCKET = re.compile("<Code>(NoSuchBucket|ContainerNotFound)</Code>")
_NO_NAME = re.compile("<Code>(KeyTooLongError|InvalidUri|InvalidURI|XMinioInvalidObjectName)</Code>")
_WRONG_REGION = "Received redirect without LOCATION"


@contextmanager
def translated(root: str) -> Iterator[None]:
    """The body only calls obstore. Raises Rejected, Refuses or Unavailable."""
    try:
        yield
    except FileNotFoundError as error:
        if _NO_BUCKET.search(_answer(error)[1]):
            raise Unavailable(root, "there is no such bucket: create it, or correct the root") from error
        raise Rejected(Reason.OBJECT_MISSING, "there is no object at object_uri") from error
    except ValueError as error:  # of a path that it cannot express
        raise Rejected(Reason.OBJECT_NOT_ALLOWED, "object_uri cannot be a name in this object store") from error
    except (BaseError, OSError) as error:
        status, body = _answer(error)
        if _NO_NAME.search(body):
            raise Rejected(Reason.OBJECT_NOT_ALLOWED, "object_uri cannot be a name in this object store") from error
        if status:
            raise refused(root, status) from error
        if isinstance(error, PermissionDeniedError):
            raise refused(root, 403) from error
        if _WRONG_REGION in str(error):
            raise Unavailable(root, "it is in another region: correct AWS_REGION") from error
        raise Unavailable(root, "no proper answer") from error


def _answer(error: Exception) -> tuple[int, str]:
    """The status and the body of the server's answer; 0 and nothing when there was none."""
    told = str(error).partition(_FOR_DEBUGGING)[2]
    status, body = _STATUS.search(told), _BODY.search(told)
    return int(status[1]) if status else 0, body[1] if body else ""


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
