"""Ids as agents remember them: keyed hashes, so that a state or a changelog names nobody to whoever lacks the key."""

import struct
from hashlib import blake2b

_DIGEST_BYTES = 16  # 2^64 ids before two are likely to meet
_LENGTH = struct.Struct(">I").pack


class KeyedHash:
    """BLAKE2b with a key (RFC 7693), apart for each purpose: the same id under two purposes gives unrelated hashes."""

    def __init__(self, key: bytes, purpose: bytes) -> None:
        """Key of any length; purpose of at most 16 bytes."""
        # BLAKE2b takes keys of up to 64 bytes; a longer one is hashed down, as HMAC does it.
        key = key if len(key) <= blake2b.MAX_KEY_SIZE else blake2b(key).digest()
        self._start = blake2b(digest_size=_DIGEST_BYTES, key=key, person=purpose)

    def __call__(self, *parts: bytes) -> bytes:
        """16 bytes. The parts' lengths are hashed too: ("ab", "c") is not ("a", "bc")."""
        state = self._start.copy()
        for part in parts:
            state.update(_LENGTH(len(part)) + part)
        return state.digest()
