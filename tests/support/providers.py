"""Where servers in tests come from: one seam, started on first use, ended with the session.

A server that does not come up fails every test that asked for it, with one line that says why.
"""

import secrets

import pytest

from ops.stack.clickhouse import ClickHouse
from ops.stack.embedded import Embedded
from ops.stack.kafka import Kafka
from ops.stack.process import StackError
from ops.stack.triton import Triton
from streams.settings import Settings
from tests.support.backbone import Backbone
from tests.support.s3_server import s3_server


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """A broker: `.bootstrap`."""
    yield from _serving(Kafka(tmp_path_factory.mktemp("kafka")))


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory):
    """ClickHouse over HTTP: `.url`."""
    yield from _serving(ClickHouse(tmp_path_factory.mktemp("clickhouse"), port=0))


@pytest.fixture(scope="session")
def triton(tmp_path_factory):
    """Triton with the project's models: `.grpc`."""
    yield from _serving(Triton(tmp_path_factory.mktemp("triton")))


@pytest.fixture(scope="session")
def s3():
    """An S3 server: a tests.support.s3_server.S3."""
    with s3_server() as server:
        yield server


@pytest.fixture
def settings(kafka, tmp_path):
    """Settings with a namespace of this test's own on the shared broker."""
    return Settings(brokers=kafka.bootstrap, namespace=namespace(), data=tmp_path / "data")


@pytest.fixture
def clickhouse_settings(settings, clickhouse):
    """The same, with ClickHouse: the namespace is also the database's."""
    return settings.model_copy(update={"clickhouse_url": clickhouse.url})


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """Everything, as `safelight up` starts it: a tests.support.backbone.Backbone."""
    embedded = Embedded(tmp_path_factory.mktemp("stack"), page_port=0, clickhouse_port=0)
    for running in _serving(embedded):
        yield Backbone(running)


def namespace():
    """A name that no other test has."""
    return f"t{secrets.token_hex(4)}"


def _serving(server):
    try:
        server.start()
    except StackError as error:
        pytest.fail(f"needs a server that did not start: {error}", pytrace=False)
    try:
        yield server
    finally:
        server.stop()
