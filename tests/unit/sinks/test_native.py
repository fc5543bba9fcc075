"""Rows to a Native block, and what does not fit."""

import struct
from datetime import UTC, datetime

import pytest
from clickhouse_connect.datatypes.registry import get_from_name

from schemas.errors import Refused
from sinks.clickhouse.native import block
from tests.support.builders import vector

pytestmark = pytest.mark.unit


def columns(**kinds):
    return [(name.replace("__", "."), get_from_name(kind)) for name, kind in kinds.items()]


def test_a_block_is_its_columns_one_after_the_other():
    written = block("t", columns(n="UInt16", s="String"), [(1, "ab"), (258, "")])
    assert written == b"\x02\x02" + b"\x01n\x06UInt16\x01\x00\x02\x01" + b"\x01s\x06String\x02ab\x00"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("Int32", 1, 2**31),
        ("Int32", 1, None),
        ("Int32", 1, "1"),
        ("Int64", 1, 1.5),
        ("String", "a", None),
        ("String", "a", 5),
        ("String", "a", "\ud800"),
        ("LowCardinality(String)", "a", None),
        ("LowCardinality(String)", "a", 5),
        ("Float64", 1.0, "x"),
        ("DateTime64(3, 'UTC')", datetime(2026, 1, 1, tzinfo=UTC), "yesterday"),
        ("DateTime64(3, 'UTC')", datetime(2026, 1, 1, tzinfo=UTC), None),
        ("Array(String)", ["a"], None),
        ("Array(LowCardinality(String))", ["a"], [None]),
        ("Array(BFloat16)", vector(0.5), [0.5]),
        ("Array(BFloat16)", vector(0.5), None),
        ("Map(LowCardinality(String), String)", {"a": "b"}, [("a", "b")]),
        ("Map(LowCardinality(String), String)", {"a": "b"}, {"a": 1}),
    ],
)
def test_a_value_that_does_not_fit_is_refused_naming_table_column_and_row(kind, good, bad):
    with pytest.raises(Refused, match=r"rows for t: column c, row 1: does not fit") as refused:
        block("t", columns(c=kind), [(good,), (bad,), (good,)])
    assert refused.value.table == "t"


def test_a_refusal_does_not_repeat_the_value():
    with pytest.raises(Refused) as refused:
        block("t", columns(c="Int32"), [("somebody",)])
    assert "somebody" not in str(refused.value)


def test_the_parts_of_a_nested_column_must_be_equally_long():
    kinds = columns(labels__name="Array(String)", labels__score="Array(Float32)")
    block("t", kinds, [(["a"], [0.5]), ([], [])])
    with pytest.raises(Refused, match=r"column labels, row 1: its parts differ in length"):
        block("t", kinds, [(["a"], [0.5]), (["a", "b"], [0.5])])


def test_null_is_for_nullable_columns():
    block("t", columns(c="Nullable(DateTime64(3, 'UTC'))"), [(None,), (datetime(2026, 1, 1, tzinfo=UTC),)])


def test_embeddings_are_rounded_to_the_nearest_bfloat16():
    # Between 1 and 1.0078125, its neighbour above, and exactly half-way: to the even one.
    values = [1.0, 1.003, 1.005, 1.00390625, 1.01171875, -1.005, 0.0]
    written = block("t", columns(c="Array(BFloat16)"), [(vector(*values),)])
    bits = struct.unpack("<7H", written[-14:])
    rounded = [struct.unpack("<f", struct.pack("<I", value << 16))[0] for value in bits]
    assert rounded == [1.0, 1.0, 1.0078125, 1.0, 1.015625, -1.0078125, 0.0]
    assert struct.unpack("<Q", written[-22:-14]) == (7,)


def test_embeddings_of_different_lengths_and_none_share_a_column():
    written = block("t", columns(c="Array(BFloat16)"), [(vector(1.0),), (b"",), (vector(1.0, 1.0),)])
    assert struct.unpack("<3Q3H", written[-30:]) == (1, 1, 3, 0x3F80, 0x3F80, 0x3F80)


def test_an_embedding_that_is_cut_short_is_refused():
    with pytest.raises(Refused, match=r"column c, row 1: does not fit Array\(BFloat16\)"):
        block("t", columns(c="Array(BFloat16)"), [(vector(1.0),), (vector(1.0)[:3],)])
