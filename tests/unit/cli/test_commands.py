"""Arguments, environment and exit codes of the commands that need no model."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from moodline.cli.commands import app

LINE = '{"conversation_id": "c", "turns": [{"role": "customer", "text": "Hi"}]}'
NOBODY = "127.0.0.1:1"


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, arguments, env=env)


def test_config_prints_what_is_in_force() -> None:
    result = run("config", env={"MOODLINE_SERVER__PORT": "7000", "MOODLINE_TOKEN": "secret"})
    assert result.exit_code == 0
    assert yaml.safe_load(result.stdout)["server"]["port"] == 7000
    assert "secret" not in result.output


def test_wrong_settings_exit_with_2_and_are_named() -> None:
    result = run("config", env={"MOODLINE_SEVER__PORT": "7000"})
    assert result.exit_code == 2
    assert "MOODLINE_SEVER__PORT" in result.stderr


def test_a_probe_of_nobody_fails() -> None:
    result = run("probe", "--server", NOBODY)
    assert result.exit_code == 1
    assert "UNAVAILABLE" in result.stderr


def test_the_probe_asks_the_server_of_the_environment() -> None:
    result = run("probe", env={"MOODLINE_SERVER__HOST": "0.0.0.0", "MOODLINE_SERVER__PORT": "1"})
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr


def test_a_server_that_is_not_there_exits_with_3(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(LINE, encoding="utf-8")
    result = run("analyze", str(source), "--server", NOBODY, "--timeout", "0.2")
    assert result.exit_code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("analyze", "missing.jsonl"),
        ("analyze", "-", "--server", NOBODY, "--token-file", "missing"),
        ("analyze", "-", "--server", NOBODY, "--tls-ca", "missing.pem"),
        ("analyze", "-", "--server", NOBODY, "--tls-cert", "only-one.pem"),
        ("check-model", "missing"),
        ("serve", "--port", "99999"),
        ("serve",),
    ],
)
def test_what_cannot_begin_exits_with_2(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr
