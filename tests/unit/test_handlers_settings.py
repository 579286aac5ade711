"""What the environment may say, and the log that comes of it."""

import json
import logging
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.handlers.logs import JsonFormatter, configure_logging
from trimtab.handlers.settings import Settings, SettingsError, settings_from

SECONDS = [field.name for field in fields(Settings) if field.name.endswith("_seconds")]
PORTS = [field.name for field in fields(Settings) if field.name.endswith("_port")]


def variable(field: str) -> str:
    return f"TRIMTAB_{field.upper()}"


def test_an_empty_environment_gives_the_defaults() -> None:
    assert settings_from({}) == Settings()
    assert settings_from({"TRIMTAB_LOOP_SECONDS": "  ", "TRIMTAB_UNKNOWN": "x"}) == Settings()


@given(st.sampled_from(SECONDS), st.floats(min_value=0.001, max_value=86_400))
def test_any_sensible_time_is_taken(field: str, seconds: float) -> None:
    assert getattr(settings_from({variable(field): repr(seconds)}), field) == seconds


@given(st.sampled_from(PORTS), st.integers(1, 65_535))
def test_any_port_is_taken(field: str, port: int) -> None:
    taken = getattr(settings_from({variable(field): f" {port} "}), field)
    assert taken == port
    assert isinstance(taken, int)


@pytest.mark.parametrize("field", SECONDS + PORTS)
@pytest.mark.parametrize("text", ["ten", "0", "-3", "nan", "inf", "1e9", "5s", "0x10"])
def test_what_is_no_number_or_out_of_range_is_refused_by_name(field: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from({variable(field): text})
    assert variable(field) in str(caught.value)
    assert repr(text) in str(caught.value)
    assert str(getattr(Settings(), field)) in str(caught.value), "it gives an example"


@pytest.mark.parametrize("url", ["http://prometheus:9090", "https://example.com/prometheus/", "http://[fd00::1]:9090"])
def test_urls_of_prometheus(url: str) -> None:
    assert settings_from({"TRIMTAB_PROMETHEUS_URL": url}).prometheus_url == url


@pytest.mark.parametrize(
    "url", ["prometheus:9090", "prometheus", "http://", "ftp://prometheus", "http://a:99999", "http://[fd00", "http://:9090"]
)  # fmt: skip
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="TRIMTAB_PROMETHEUS_URL"):
        settings_from({"TRIMTAB_PROMETHEUS_URL": url})


@pytest.mark.parametrize(("level", "form"), [("loud", "json"), ("info", "xml"), ("", "json")])
def test_unknown_levels_and_formats_are_refused(level: str, form: str) -> None:
    with pytest.raises(SettingsError, match="TRIMTAB_LOG_"):
        configure_logging(level, form)


def test_a_line_of_the_log_is_one_json_object_with_the_traceback_inside() -> None:
    try:
        raise RuntimeError("first\nsecond")
    except RuntimeError as error:
        record = logging.LogRecord("trimtab", logging.ERROR, "f", 1, "it %s", ("broke",), (type(error), error, None))
    (line,) = JsonFormatter().format(record).splitlines()
    said = json.loads(line)
    assert (said["level"], said["logger"], said["message"]) == ("error", "trimtab", "it broke")
    assert "RuntimeError: first\nsecond" in said["error"]
