"""HTTP's Content-Encoding, as ClickHouse and its clients use it: lz4 (the frame format), zstd, gzip and deflate."""

from __future__ import annotations

import io
import zlib
from typing import Protocol

import lz4.frame
import zstandard

from ops.stack.clickhouse_http.errors import ClickHouseError


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
    if not body:
        return b""
    if encoding == "lz4":
        frame = lz4.frame.LZ4FrameDecompressor()
        plain = bytes(frame.decompress(body, most))
        if not frame.eof and len(plain) < most:
            raise EOFError("it ends early")
        return plain
    if encoding == "zstd":
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True).read(most)
    if encoding in ("gzip", "deflate"):
        inflate = zlib.decompressobj(wbits=47)  # either, by its header
        plain = inflate.decompress(body, most)
        if not inflate.eof and len(plain) < most:
            raise EOFError("it ends early")
        return plain
    raise ClickHouseError.named(
        "UNKNOWN_COMPRESSION_METHOD", f"Unknown compression method {encoding}: lz4, zstd, gzip or deflate"
    )
