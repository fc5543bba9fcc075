"""A folder with a photo, for every test of reading."""

import pytest

from tests.support.object_server import object_server
from tests.support.objects import PHOTO


@pytest.fixture
def folder(tmp_path):
    """A root with a photo in it, and a secret beside it."""
    root = tmp_path / "photos"
    (root / "2026").mkdir(parents=True)
    (root / "2026" / "a b.jpg").write_bytes(PHOTO)
    (tmp_path / "photos-private").mkdir()
    for place in ("secret.jpg", "photos-private/secret.jpg"):
        (tmp_path / place).write_bytes(PHOTO)
    return root


@pytest.fixture
def web():
    with object_server(PHOTO) as server:
        yield server
