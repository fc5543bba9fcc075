"""Keyed hashes."""

from hashlib import blake2b

import pytest

from agents.remember import KeyedHash

pytestmark = pytest.mark.unit


def test_it_is_blake2b_with_a_key_of_the_lengths_and_the_parts():
    expected = blake2b(b"\0\0\0\1a\0\0\0\2bc", digest_size=16, key=b"secret", person=b"admit event")
    assert KeyedHash(b"secret", b"admit event")(b"a", b"bc") == expected.digest()


def test_where_one_part_ends_matters():
    hash_of = KeyedHash(b"secret", b"x")
    assert hash_of(b"ab", b"c") != hash_of(b"a", b"bc")


def test_key_and_purpose_matter():
    assert len({KeyedHash(key, use)(b"a") for key in (b"", b"k", b"l") for use in (b"x", b"y")}) == 6


def test_a_call_leaves_no_trace_in_the_next():
    hash_of = KeyedHash(b"secret", b"x")
    assert hash_of(b"a") == hash_of(b"a") != hash_of(b"b")


def test_keys_longer_than_blake2b_takes_are_not_cut():
    assert KeyedHash(b"k" * 64 + b"1", b"x")(b"a") != KeyedHash(b"k" * 64 + b"2", b"x")(b"a")
