"""Settings: what is read, what is refused, and what the refusal says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from moodline.batching.planner import BatchPolicy
from moodline.errors import SettingsError
from moodline.limits import Limits
from moodline.settings import Settings, effective_settings_yaml, load_settings, require_serving


def message(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_defaults_need_no_variables() -> None:
    settings = load_settings({})
    assert settings.batching.policy() == BatchPolicy()
    assert settings.server.max_message_bytes == Limits().max_message_bytes
    assert settings.server.is_loopback


def test_variables_of_others_are_ignored() -> None:
    assert load_settings({"PATH": "/bin", "OTEL_SERVICE_NAME": "x"}) == load_settings({})


def test_only_the_given_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOODLINE_SERVER__PORT", "1234")
    monkeypatch.setenv("MOODLINE_NONSENSE", "1")
    assert load_settings({}).server.port == 50051
    assert Settings().server.port == 50051


def test_values_of_every_shape_are_read() -> None:
    settings = load_settings(
        {
            "MOODLINE_SERVER__PORT": "0",
            "MOODLINE_SERVER__METRICS_PORT": "9100",
            "MOODLINE_SERVER__GRACE_S": "2.5",
            "MOODLINE_AUTH__TOKENS_FILE": "/etc/moodline/tokens.yaml",
            "MOODLINE_BATCHING__BUCKETS": "16, 32,64",
            "MOODLINE_BATCHING__MAX_QUEUE_DELAY_MS": "5",
            "MOODLINE_TELEMETRY__OTEL": "true",
            "MOODLINE_TELEMETRY__LOG_FORMAT": "json",
        }
    )
    assert settings.server.port == 0
    assert settings.server.metrics_port == 9100
    assert settings.server.grace_s == 2.5
    assert settings.auth.tokens_file == Path("/etc/moodline/tokens.yaml")
    assert settings.batching.policy().buckets == (16, 32, 64)
    assert settings.batching.policy().max_queue_delay_s == 0.005
    assert settings.telemetry.otel is True
    assert settings.telemetry.log_format == "json"


def test_settings_cannot_change() -> None:
    settings = load_settings({})
    with pytest.raises(ValidationError, match="frozen"):
        settings.server.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.server = settings.server  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("MOODLINE_BATCHING__MAX_BATCH_ROW", "MOODLINE_BATCHING__MAX_BATCH_ROWS"),
        ("MOODLINE_SERVER_PORT", "MOODLINE_SERVER__PORT"),
        ("moodline_server__port", "MOODLINE_SERVER__PORT"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_likeliest_name(name: str, near: str) -> None:
    assert message({name: "1"}) == f"{name} is not a setting; did you mean {near}?"


def test_an_unknown_variable_is_refused_without_its_value() -> None:
    text = message({"MOODLINE_API_SECRET": "hunter2"})
    assert text.startswith("MOODLINE_API_SECRET is not a setting; `moodline config` lists")
    assert "hunter2" not in text


def test_what_kubernetes_sets_for_a_service_of_our_name_is_ignored() -> None:
    links = {
        "MOODLINE_SERVICE_HOST": "10.0.0.1",
        "MOODLINE_SERVICE_PORT": "50051",
        "MOODLINE_SERVICE_PORT_GRPC": "50051",
        "MOODLINE_PORT": "tcp://10.0.0.1:50051",
        "MOODLINE_PORT_50051_TCP": "tcp://10.0.0.1:50051",
        "MOODLINE_PORT_50051_TCP_ADDR": "10.0.0.1",
        "MOODLINE_METRICS_SERVICE_HOST": "10.0.0.2",
        "MOODLINE_METRICS_PORT": "tcp://10.0.0.2:9100",
    }
    assert load_settings(links) == load_settings({})


def test_a_malformed_value_is_refused_with_variable_value_and_meaning() -> None:
    text = message({"MOODLINE_SERVER__PORT": "99999", "MOODLINE_TELEMETRY__OTEL": "maybe"})
    port, otel = text.splitlines()
    assert port.startswith("MOODLINE_SERVER__PORT: Input should be less than or equal to 65535")
    assert "'99999'" in port
    assert "Port of the gRPC server" in port
    assert otel.startswith("MOODLINE_TELEMETRY__OTEL: ")


def test_a_value_that_may_be_a_secret_is_not_repeated() -> None:
    assert "hunter2" not in message({"MOODLINE_AUTH__MODE": "hunter2"})


@pytest.mark.parametrize("value", ["16,a", "[16,32]"])
def test_buckets_are_a_list_of_numbers(value: str) -> None:
    assert "MOODLINE_BATCHING__BUCKETS" in message({"MOODLINE_BATCHING__BUCKETS": value})


@pytest.mark.parametrize("name", ["MOODLINE_AUTH__TOKENS_FILE", "MOODLINE_SERVER__METRICS_PORT"])
def test_an_empty_value_is_not_taken_for_a_default(name: str) -> None:
    assert message({name: " "}) == f"{name} is empty; give it a value, or unset it for the default."


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {"MOODLINE_BATCHING__MAX_BATCH_TOKENS": "64"},
            "The largest bucket (128 tokens) exceeds max_batch_tokens (64)",
        ),
        (
            {"MOODLINE_BATCHING__BUCKETS": "32,16"},
            "MOODLINE_BATCHING__*: buckets must be positive and ascending",
        ),
        (
            {"MOODLINE_ADMISSION__MAX_PENDING_TOKENS": "512"},
            "MOODLINE_BATCHING__MAX_BATCH_TOKENS (1024) exceeds",
        ),
        (
            {"MOODLINE_ADMISSION__LIVE_RESERVED_TOKENS": "524288"},
            "MOODLINE_ADMISSION__LIVE_RESERVED_TOKENS (524288) must be below",
        ),
        (
            {"MOODLINE_BATCHING__MAX_QUEUE_DELAY_MS": "60000"},
            "must be shorter than MOODLINE_ADMISSION__DEFAULT_DEADLINE_S",
        ),
        (
            {"MOODLINE_SERVER__METRICS_PORT": "50051"},
            "MOODLINE_SERVER__METRICS_PORT and MOODLINE_SERVER__PORT are both 50051",
        ),
        ({"MOODLINE_TLS__CERTIFICATE_FILE": "a.pem"}, "belong together: set both or neither"),
        ({"MOODLINE_TLS__CLIENT_CA_FILE": "a.pem"}, "MOODLINE_TLS__CLIENT_CA_FILE asks clients"),
        (
            {"MOODLINE_AUTH__MODE": "none", "MOODLINE_AUTH__TOKENS_FILE": "a.yaml"},
            "nobody would read it",
        ),
        (
            {"MOODLINE_AUTH__MODE": "none", "MOODLINE_SERVER__HOST": "0.0.0.0"},
            "or set MOODLINE_AUTH__ALLOW_UNAUTHENTICATED=true",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    environ: dict[str, str], expected: str
) -> None:
    assert expected in message(environ)


def test_all_contradictions_are_named_together() -> None:
    text = message(
        {"MOODLINE_TLS__CERTIFICATE_FILE": "a.pem", "MOODLINE_BATCHING__MAX_BATCH_TOKENS": "64"}
    )
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_callers_may_go_unchecked_on_loopback(host: str) -> None:
    environ = {"MOODLINE_AUTH__MODE": "none", "MOODLINE_SERVER__HOST": host}
    assert load_settings(environ).server.is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "moodline.example", "[::]"])
def test_callers_go_unchecked_elsewhere_only_when_explicitly_allowed(host: str) -> None:
    environ = {"MOODLINE_AUTH__MODE": "none", "MOODLINE_SERVER__HOST": host}
    message(environ)
    load_settings({**environ, "MOODLINE_AUTH__ALLOW_UNAUTHENTICATED": "true"})


def test_serving_with_tokens_needs_a_file_but_local_commands_do_not() -> None:
    settings = load_settings({})
    with pytest.raises(SettingsError, match="MOODLINE_AUTH__TOKENS_FILE is not set"):
        require_serving(settings)
    require_serving(load_settings({"MOODLINE_AUTH__TOKENS_FILE": "tokens.yaml"}))
    require_serving(load_settings({"MOODLINE_AUTH__MODE": "none"}))


def test_the_effective_settings_are_yaml_of_all_groups() -> None:
    shown = yaml.safe_load(effective_settings_yaml(load_settings({"MOODLINE_SERVER__PORT": "1"})))
    assert list(shown) == list(Settings.model_fields)
    assert shown["server"]["port"] == 1
    assert shown["batching"]["buckets"] == list(BatchPolicy().buckets)
    assert shown["engine"]["model_dir"] is None


def test_every_setting_says_what_it_controls() -> None:
    for group in Settings.model_fields.values():
        assert isinstance(group.annotation, type)
        assert issubclass(group.annotation, BaseModel)
        for name, field in group.annotation.model_fields.items():
            assert field.description, name
            assert field.description.endswith("."), name
