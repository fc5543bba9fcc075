"""Roots as they are configured: what can be one, and what is said of those that cannot."""

import pytest

from agents.photo.bucket import ENDPOINTS
from agents.photo.root import Root
from schemas.errors import StrangeWorld

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Nothing of the machine's own."""
    for name in (
        *sum(ENDPOINTS.values(), ()),
        "AZURE_STORAGE_ACCOUNT",
        "AZURE_STORAGE_USE_EMULATOR",
        "AZURE_USE_EMULATOR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "safelight")
    return monkeypatch


def message(root, *, private=False):
    with pytest.raises(StrangeWorld) as caught:
        Root(root, private=private)
    said = str(caught.value)
    assert said.startswith("SAFELIGHT_OBJECT_ROOTS: ")
    assert "\n" not in said
    assert "secret" not in said
    return said


@pytest.mark.parametrize(
    "root",
    [
        *(
            "photos",
            "/srv/photos",
            "file:///there/is/no/such/folder",
            "http://example.com/photos",
            "file:///srv/../etc",
        ),
        *("s3://", "https://user:secret@example.com/photos", "ftp://host/photos"),
        *("https://example.com/photos?sig=secret", "s3://key:secret@bucket/folder", "https://example.com:port/photos"),
    ],
)
def test_a_root_that_cannot_be_one_is_told_in_one_line(root):
    message(root)


@pytest.mark.parametrize("root", ["s3://bucket", "s3://bucket/folder", "az://container", "https://example.com/photos"])
def test_a_root_is_not_called_when_it_is_opened(root):
    assert Root(root).name == root


def test_a_bucket_of_google_is_not_called_either(environment):
    environment.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    assert Root("gs://bucket/folder").name == "gs://bucket/folder"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]:8443", "10.0.0.1:9000", "192.168.0.1", "169.254.169.254", "[::ffff:10.0.0.1]", "[fd00::1]"],
)
def test_a_private_address_is_a_root_only_where_that_is_said(host):
    assert "SAFELIGHT_PRIVATE_ROOTS" in message(f"https://{host}/photos")
    assert "SAFELIGHT_PRIVATE_ROOTS" in message(f"http://{host}/photos")
    Root(f"https://{host}/photos", private=True)
    Root(f"http://{host}/photos", private=True)


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0177.0.0.1:8443", "127.0.0.1."])
def test_half_an_address_is_none(host):
    assert "write all four numbers" in message(f"https://{host}/photos", private=True)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]"])
def test_nothing_is_read_from_nowhere(host):
    assert "a multicast or unspecified address" in message(f"https://{host}/photos", private=True)


@pytest.mark.parametrize(
    ("root", "variable"), [(f"{scheme}://bucket/folder", name) for scheme, names in ENDPOINTS.items() for name in names]
)
def test_an_endpoint_in_the_private_network_is_taken_only_where_that_is_said(root, variable, environment):
    environment.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    for endpoint in ("http://minio:9000", "http://10.0.0.1:9000", "https://10.0.0.1:9000", "https://[::1]"):
        environment.setenv(variable, endpoint)
        said = message(root)
        assert variable in said
        assert "SAFELIGHT_PRIVATE_ROOTS" in said
        Root(root, private=True)
    environment.setenv(variable, "https://minio.example.com")
    Root(root)


@pytest.mark.parametrize(
    "endpoint", ["https://user:secret@minio", "no url secret", "minio:9000", "ftp://secret", "https://", "https://a b"]
)
def test_an_endpoint_that_is_none_is_told_without_repeating_it(endpoint, environment):
    environment.setenv("AWS_ENDPOINT_URL", endpoint)
    for private in (False, True):
        assert "AWS_ENDPOINT_URL is no URL such as" in message("s3://bucket", private=private)


def test_an_emulator_is_in_the_private_network(environment):
    environment.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
    assert "AZURE_STORAGE_USE_EMULATOR" in message("az://container")
    Root("az://container", private=True)


@pytest.mark.parametrize(
    ("root", "variable", "value"),
    [
        ("s3://bucket", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "topsecret"),
        ("gs://bucket", "GOOGLE_SERVICE_ACCOUNT_KEY", '"topsecret"'),
        ("gs://bucket", "GOOGLE_SERVICE_ACCOUNT_KEY", '{"private_key": "topsecret"}'),
        ("az://container", "AZURE_STORAGE_ACCOUNT_KEY", "topsecret!"),
        ("az://container", "AZURE_STORAGE_SAS_TOKEN", "topsecret%ff"),
    ],
)
def test_what_the_environment_holds_is_not_repeated(root, variable, value, environment):
    environment.setenv(variable, value)
    message(root)


def test_what_is_missing_is_said(environment):
    environment.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    assert message("az://container") == (
        "SAFELIGHT_OBJECT_ROOTS: az://container cannot be opened (Generic MicrosoftAzure error: Account must be "
        "specified); correct or create it"
    )
