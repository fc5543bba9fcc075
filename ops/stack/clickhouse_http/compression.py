"""HTTP's Content-Encoding, as ClickHouse and its clients use it: lz4 (the frame format), zstd, gzip and deflate."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

import lz4.frame
import zstandard

from ops.stack.clickhouse_http.errors import ClickHouseError

if TYPE_CHECKING:
    from collections.abc import Callable


class Compressor(Protocol):
    """What compresses an answer piece by piece."""

    def compress(self, data: bytes, /) -> bytes:
        """As much as there is by now; may be nothing."""

    def flush(self) -> bytes:
        """The rest."""


class _Lz4:
    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._begin: bytes = self._frame.begin()

    def compress(self, data: bytes, /) -> bytes:
        begin, self._begin = self._begin, b""
        return begin + bytes(self._frame.compress(data))

    def flush(self) -> bytes:
        begin, self._begin = self._begin, b""
        return begin + bytes(self._frame.flush())


def compressor(accept: str) -> tuple[str, Compressor] | None:
    """For an Accept-Encoding header: the encoding and its compressor; None where it names none of ours.

    ClickHouse's own order of preference, and its level 1 or the fastest: the way is short here.
    """
    offered = {word.split(";")[0].strip() for word in accept.lower().split(",")}
    if "lz4" in offered:
        return "lz4", _Lz4()
    if "zstd" in offered:
        return "zstd", zstandard.ZstdCompressor(level=1).compressobj()
    if "gzip" in offered:
        return "gzip", zlib.compressobj(1, zlib.DEFLATED, wbits=31)
    if "deflate" in offered:
        return "deflate", zlib.compressobj(1)
    return None


def decompress(body: bytes, encoding: str, *, at_most: int) -> bytes:
    """The body of a request as it was. ClickHouseError if it is broken or longer than `at_most` bytes."""
    try:
        plain = _decompress(body, encoding.strip().lower(), at_most + 1)
    except (RuntimeError, zlib.error, zstandard.ZstdError, EOFError) as error:
        raise ClickHouseError.named("INCORRECT_DATA", f"The body is not {encoding}: {error}") from error
    if len(plain) > at_most:
        raise too_long(at_most)
    return plain


def too_long(at_most: int) -> ClickHouseError:
    """For a body of more than `at_most` bytes."""
    return ClickHouseError.named(
        "TOO_MANY_BYTES", f"The body is longer than {at_most} bytes: send it in smaller batches"
    )


def _decompress(body: bytes, encoding: str, most: int) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding == "lz4":
        return _frames(body, lz4.frame.LZ4FrameDecompressor, most)
    if encoding == "zstd":
        return _frames(body, _Zstd, most)
    if encoding in ("gzip", "deflate"):
        return _frames(body, lambda: zlib.decompressobj(wbits=47), most)  # either, by its header
    raise ClickHouseError.named(
        "UNKNOWN_COMPRESSION_METHOD", f"Unknown compression method {encoding}: lz4, zstd, gzip or deflate"
    )


def _frames(body: bytes, begin: Callable[[], _Frame], most: int) -> bytes:
    """A body is one frame or many: clickhouse-connect makes one of each block of rows."""
    plain = bytearray()
    left = body
    while left:
        frame = begin()
        plain += frame.decompress(left, most - len(plain))
        if len(plain) >= most:
            break
        if not frame.eof:
            raise EOFError("it ends early")
        left = frame.unused_data or b""
    return bytes(plain)


class _Frame(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zstd:
    """A zstd frame with a bound, which its library has not; four bytes can become 128 KiB, so it is fed in small bites."""

    _BITE_BYTES = 1024

    def __init__(self) -> None:
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        return self._frame.eof

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        plain = bytearray()
        for at in range(0, len(data), self._BITE_BYTES):
            plain += self._frame.decompress(data[at : at + self._BITE_BYTES])
            if self._frame.eof:
                self.unused_data = self._frame.unused_data + data[at + self._BITE_BYTES :]
                break
            if len(plain) >= max_length:
                break
        return bytes(plain)
