import subprocess
import sys

import pytest

from streams import app as module
from streams.app import AgentApp, build
from streams.settings import Settings
from streams.topology import FLOWS

pytestmark = pytest.mark.unit


@pytest.fixture
def settings(tmp_path):
    return Settings(brokers="one:9092, two:9093", namespace="ns", data=tmp_path / "not-there")


async def test_an_app_reads_its_agent_s_topics_in_its_agent_s_group(settings):
    app = build("store", settings)
    assert app.conf.id == "ns.safelight-store"
    assert [url.authority for url in app.conf.broker] == ["one:9092", "two:9093"]
    assert app.contract_name("ns.photos.grouped") == "photos.grouped"
    (agent,) = app.agents.values()
    assert set(agent.channel.topics) == {"ns.photos.grouped", "ns.photos.dead_letter", "ns.ops.metrics"}


async def test_making_an_app_touches_nothing(settings):
    build("admit", settings)
    assert not settings.data.exists()


async def test_faust_serves_no_web_page_commits_nothing_and_never_begins_anew_by_itself(settings):
    app = build("enrich", settings)
    conf = app.conf
    conf.web_enabled = True  # as Faust's command line does by default
    assert list(app.boot_strategy.web_server()) == []
    assert conf.topic_allow_declare is False
    assert conf.consumer_auto_offset_reset == "none"
    assert conf.broker_max_poll_records == settings.enrich_batch_records
    assert conf.broker_session_timeout == settings.session.total_seconds()
    assert conf.broker_heartbeat_interval < settings.session.total_seconds() / 3


async def test_a_crash_of_the_agent_is_the_worker_s(settings):
    (agent,) = build("admit", settings).agents.values()
    assert agent.supervisor_strategy.__name__ == "CrashingSupervisor"


def test_importing_the_module_asks_for_no_settings():
    code = "import os; os.environ['SAFELIGHT_PARTITIONS'] = 'many'; import streams.app"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


async def test_an_app_is_an_attribute_by_its_agent_s_name(monkeypatch, tmp_path):
    monkeypatch.setenv("SAFELIGHT_DATA", str(tmp_path))
    app = module.group
    assert isinstance(app, AgentApp)
    assert app.flow is FLOWS["group"]


def test_another_attribute_is_none_and_says_which_there_are():
    with pytest.raises(AttributeError, match="admit, enrich, resume, group, store"):
        module.photographer  # noqa: B018
