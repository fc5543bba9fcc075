"""Where an object is: object_uri read strictly, and compared with the roots under which photos may be read."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from schemas.errors import Reason, Rejected

SCHEMES = ("file", "s3", "gs", "az", "https", "http")
"""http is read only where a root is private: agents/photo/web.py."""

_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\\\\]")


@dataclass(frozen=True, slots=True)
class Location:
    """A place in an object store: scheme, host or bucket, and the path's segments as they are called there (decoded)."""

    scheme: str
    host: str
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, uri: str) -> "Location":
        """Raises Rejected(OBJECT_NOT_ALLOWED), in words that do not repeat the uri.

        The path is percent-decoded once (RFC 3986). What could mean one thing here and another to the store is refused:
        empty segments, "." and "..", also in percent encoding, backslashes, a query, a fragment, a user name.
        """
        if _FORBIDDEN.search(uri):
            raise _refused("contains a backslash or a control character")
        try:
            parts = urlsplit(uri)
            path = unquote(parts.path, errors="strict")
        except ValueError as error:
            raise _refused("is no valid URI") from error
        if parts.scheme not in SCHEMES:
            raise _refused("does not begin with file:///, s3://, gs://, az:// or https://")
        if parts.query or parts.fragment or "?" in uri or "#" in uri:
            raise _refused("has a query or a fragment; in a name, write ? as %3F and # as %23")
        if "@" in parts.netloc:
            raise _refused("contains a user name")
        host = _host(parts.scheme, parts.netloc)
        if _FORBIDDEN.search(path):
            raise _refused("contains a backslash or a control character")
        segments = tuple(path.removeprefix("/").split("/")) if path not in ("", "/") else ()
        if any(segment in ("", ".", "..") for segment in segments):
            raise _refused('contains "//", "." or ".." in its path')
        return cls(parts.scheme, host, segments)

    def under(self, root: "Location") -> bool:
        """Whether it lies inside the root: segment by segment, so /photos does not contain /photos-private."""
        depth = len(root.segments)
        return (
            (self.scheme, self.host) == (root.scheme, root.host)
            and len(self.segments) > depth
            and self.segments[:depth] == root.segments
        )


def _host(scheme: str, netloc: str) -> str:
    if scheme == "file":
        if netloc not in ("", "localhost"):
            raise _refused("names another machine's file")
        return ""
    if not netloc:
        raise _refused("names no bucket or host")
    # A bucket's name is taken as it is, a host's is not case-sensitive.
    return netloc.lower().removesuffix(":443") if scheme == "https" else netloc


def _refused(what: str) -> Rejected:
    return Rejected(Reason.OBJECT_NOT_ALLOWED, f"object_uri {what}")
