"""object_uri, read strictly."""

import pytest

from agents.photo.location import Location
from schemas.errors import Reason, Rejected

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:///srv/photos/a.jpg", Location("file", "", ("srv", "photos", "a.jpg"))),
        ("file://localhost/a.jpg", Location("file", "", ("a.jpg",))),
        ("file:///a%20b/%C3%A9%23.jpg", Location("file", "", ("a b", "é#.jpg"))),
        ("file:///a b/100%.jpg", Location("file", "", ("a b", "100%.jpg"))),
        ("s3://Bucket/a/b", Location("s3", "Bucket", ("a", "b"))),
        ("gs://bucket", Location("gs", "bucket", ())),
        ("https://Example.com:443/a", Location("https", "example.com", ("a",))),
        ("https://example.com:8443/a", Location("https", "example.com:8443", ("a",))),
        ("HTTPS://example.com/a", Location("https", "example.com", ("a",))),
        # decoded once, and no more
        ("file:///a/%252e%252e/b", Location("file", "", ("a", "%2e%2e", "b"))),
    ],
)
def test_a_uri_is_read_as_rfc_3986_has_it(uri, expected):
    assert Location.parse(uri) == expected


@pytest.mark.parametrize(
    "uri",
    [
        *("", "a.jpg", "/srv/a.jpg", "ftp://host/a", "javascript:alert(1)", "memory:///a", "data:,x"),
        *("file:///srv/../etc/passwd", "file:///srv/./a", "file:///srv//a", "file:///srv/a/", "file:///.."),
        *("file:///srv/%2e%2e/etc/passwd", "file:///srv/%2E./etc", "file:///srv/..%2fetc", "file:///srv/a%2f%2fb"),
        *(
            "file:///srv/a%00.jpg",
            "file:///srv/a\0.jpg",
            "file:///srv/a%0a.jpg",
            "file:///srv\n/a",
            "file:///srv/%ff.jpg",
        ),
        *("file:///srv\\..\\etc", "file:///srv/%5c..%5cetc"),
        *("file://host/a.jpg", "file:a.jpg/..", "s3:///key", "https:///a", "https://[::1/a"),
        *("https://user:secret@example.com/a", "https://example.com@evil/a"),
        *("https://example.com/a?b", "https://example.com/a#b", "https://example.com/a?", "file:///a#"),
    ],
)
def test_whatever_could_mean_two_things_is_refused_without_repeating_it(uri):
    with pytest.raises(Rejected) as caught:
        Location.parse(uri)
    assert caught.value.reason is Reason.OBJECT_NOT_ALLOWED
    assert caught.value.detail.startswith("object_uri ")
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize(
    ("uri", "root", "inside"),
    [
        ("file:///photos/a.jpg", "file:///photos", True),
        ("file:///photos/2026/a.jpg", "file:///photos", True),
        ("file:///a.jpg", "file:///", True),
        ("s3://bucket/a", "s3://bucket", True),
        ("file:///photos-private/a.jpg", "file:///photos", False),
        ("file:///photos", "file:///photos", False),
        ("file:///Photos/a.jpg", "file:///photos", False),
        ("s3://bucket2/a", "s3://bucket", False),
        ("s3://Bucket/a", "s3://bucket", False),
        ("gs://bucket/a", "s3://bucket", False),
        ("https://example.com.evil.org/a", "https://example.com", False),
        ("https://example.com:8443/a", "https://example.com", False),
        ("http://example.com/a", "https://example.com", False),
    ],
)
def test_inside_a_root_is_decided_segment_by_segment(uri, root, inside):
    assert Location.parse(uri).under(Location.parse(root.removesuffix("/"))) is inside
