"""murmur2 as the Java client computes it."""

import pytest

from schemas.partitioning import murmur2, partition_of

pytestmark = pytest.mark.unit

# From Apache Kafka's own UtilsTest.testMurmur2, as unsigned numbers.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), JAVA.items())
def test_hash_equals_the_java_clients(key, signed):
    assert murmur2(key) == signed % (1 << 32)


def test_partition_is_the_positive_hash_modulo_the_partitions():
    assert partition_of(b"foobar", 8) == (-790332482 & 0x7FFFFFFF) % 8
