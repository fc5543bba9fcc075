"""Settings as an operator's environment gives them."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from ops.cli.explain import explain
from streams.settings import Settings

pytestmark = pytest.mark.unit

DURATIONS = sorted(name for name, field in Settings.model_fields.items() if field.annotation is timedelta)


@pytest.fixture
def variable(monkeypatch):
    """Settings with one variable set."""

    def variable(name, value):
        monkeypatch.setenv(f"SAFELIGHT_{name}".upper(), value)
        return Settings()

    return variable


def test_the_durations_are_all_here():
    assert {"metrics_interval", "pending_age", "remember", "session", "stall"} <= set(DURATIONS)


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0.2", 0.2), ("5", 5), ("86400", 86_400), (" 1e2 ", 100), ("PT0.2S", 0.2), ("00:01:00", 60), ("P1D", 86_400)],
)
def test_a_duration_is_seconds_or_iso_8601(variable, name, value, seconds):
    assert getattr(variable(name, value), name).total_seconds() == seconds


@pytest.mark.parametrize("value", ["soon", "", "1 fortnight", "-1", "0", "nan", "inf", "1e300"])
def test_what_is_no_duration_is_refused_in_one_line_that_says_what_to_write(variable, value):
    with pytest.raises(ValidationError) as refused:
        variable("stall", value)
    assert explain(refused.value) == (
        "SAFELIGHT_STALL: say how many seconds (0.5), or an ISO 8601 duration (PT0.5S), above 0"
    )


def test_in_python_a_duration_is_a_number_or_a_timedelta():
    assert Settings(session=0.5).session == Settings(session=timedelta(seconds=0.5)).session == timedelta(seconds=0.5)


@pytest.mark.parametrize("name", ["object_roots", "private_roots"])
def test_roots_are_separated_by_commas(variable, name):
    assert getattr(variable(name, " s3://a , file:///b,"), name) == ("s3://a", "file:///b")
    assert getattr(variable(name, ""), name) == ()
