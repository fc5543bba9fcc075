"""Bodies and answers, compressed and back."""

import gzip
import zlib

import lz4.frame
import pytest
import zstandard

from ops.stack.clickhouse_http.compression import compressor, decompress
from ops.stack.clickhouse_http.errors import ClickHouseError

pytestmark = pytest.mark.unit

PLAIN = b"photo" * 10_000
COMPRESS = {
    "lz4": lz4.frame.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}
DECOMPRESS = {
    "lz4": lz4.frame.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_body_comes_out_as_it_was(encoding):
    assert decompress(COMPRESS[encoding](PLAIN), encoding, at_most=len(PLAIN)) == PLAIN


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_body_of_many_frames_is_read_to_its_end(encoding):
    body = b"".join(COMPRESS[encoding](PLAIN + bytes([number])) for number in range(3))
    assert decompress(body, encoding, at_most=200_000) == PLAIN + b"\0" + PLAIN + b"\1" + PLAIN + b"\2"


@pytest.mark.parametrize("encoding", COMPRESS)
def test_what_follows_the_last_frame_is_not_passed_over(encoding):
    with pytest.raises(ClickHouseError, match=f"The body is not {encoding}"):
        decompress(COMPRESS[encoding](PLAIN) + b"garbage", encoding, at_most=200_000)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_small_body_that_becomes_too_long_is_refused(encoding):
    with pytest.raises(ClickHouseError, match="longer than 49999 bytes: send it in smaller batches") as error:
        decompress(COMPRESS[encoding](PLAIN), encoding, at_most=len(PLAIN) - 1)
    assert error.value.status == 413


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_broken_body_is_said_to_be(encoding):
    with pytest.raises(ClickHouseError, match=f"The body is not {encoding}"):
        decompress(b"no such thing", encoding, at_most=100)


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("missing", [1, 20])
def test_a_body_without_its_end_is_not_taken_for_a_whole_one(encoding, missing):
    body = COMPRESS[encoding](PLAIN) + COMPRESS[encoding](PLAIN)
    with pytest.raises(ClickHouseError, match="ends early"):
        decompress(body[:-missing], encoding, at_most=200_000)


def test_an_unknown_encoding_is_named():
    with pytest.raises(ClickHouseError, match="Unknown compression method br"):
        decompress(b"x", "br", at_most=100)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_an_answer_in_pieces_comes_out_whole(encoding):
    name, squeeze = compressor(encoding)
    pieces = [squeeze.compress(PLAIN[:100]), squeeze.compress(PLAIN[100:]), squeeze.flush()]
    assert (name, DECOMPRESS[encoding](b"".join(pieces))) == (encoding, PLAIN)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_an_empty_answer_is_a_whole_frame_too(encoding):
    _, squeeze = compressor(encoding)
    assert DECOMPRESS[encoding](squeeze.flush()) == b""


@pytest.mark.parametrize(
    ("accept", "taken"), [("lz4,zstd,gzip", "lz4"), ("gzip;q=0.5, zstd", "zstd"), ("GZIP", "gzip")]
)
def test_the_fastest_that_the_client_takes_is_used(accept, taken):
    assert compressor(accept)[0] == taken


@pytest.mark.parametrize("accept", ["", "br", "identity"])
def test_nothing_is_compressed_for_who_takes_none_of_ours(accept):
    assert compressor(accept) is None
