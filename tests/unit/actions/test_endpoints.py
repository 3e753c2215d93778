"""The endpoints file says who takes what, and is refused without quoting its secrets."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from moodline.actions.endpoints import (
    Endpoint,
    lanes_of,
    read_endpoints,
    require_endpoints,
    unwanted_destinations,
)
from moodline.actions.queue import Destination
from moodline.errors import SettingsError
from moodline.rules.model import Rule

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def entry(kind: str = "webhook", target: str = "", **fields: object) -> dict[str, object]:
    return {
        "kind": kind,
        "target": target,
        "url": "https://hooks.example.com/token-in-path",
        "secrets": [SECRET],
        **fields,
    }


def endpoint(kind: str, target: str = "") -> Endpoint:
    return Endpoint.model_validate(entry(kind, target))


def write(path: Path, *entries: dict[str, object]) -> Path:
    file = path / "endpoints.yaml"
    file.write_text(yaml.safe_dump({"endpoints": list(entries)}), "utf-8")
    return file


def rule(rule_id: str, *actions: dict[str, str]) -> Rule:
    return Rule.model_validate(
        {
            "id": rule_id,
            "explanation": {"en": rule_id},
            "reason": "other",
            "severity": "high",
            "when": "true",
            "actions": actions,
        }
    )


def test_a_file_is_read(tmp_path: Path) -> None:
    file = write(tmp_path, entry(), entry("route", "*", allow_private=True, timeout_s=3))
    webhook, route = read_endpoints(file)
    assert str(webhook.url) == "https://hooks.example.com/token-in-path"
    assert webhook.secrets[0].get_secret_value() == SECRET
    assert not webhook.allow_private
    assert (route.kind, route.target, route.timeout_s) == ("route", "*", 3)


def test_the_file_of_the_docs_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "actions.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "endpoints.yaml"
    file.write_text(example, "utf-8")
    assert [(e.kind, e.target) for e in read_endpoints(file)] == [
        ("webhook", ""),
        ("route", "fraud"),
        ("route", "*"),
    ]


def test_secrets_do_not_show_where_an_endpoint_is_printed() -> None:
    assert SECRET not in repr(endpoint("webhook"))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"kind": "mail"}, "endpoints.0.kind: "),
        ({"secrets": []}, "endpoints.0.secrets: "),
        ({"secrets": ["hunter2hunter2"]}, "endpoints.0.secrets.0: .*whsec_"),
        ({"secrets": ["whsec_aHVudGVyMg=="]}, "24 to 64"),
        ({"url": "http://hooks.example.com/secret-path"}, "https://"),
        ({"url": "ftp://hooks.example.com/secret-path"}, "endpoints.0.url"),
        ({"url": "https://user:secret-path@hooks.example.com/"}, "password"),
        ({"url": "https://hooks.example.com/#secret-path"}, "fragment"),
        ({"url": "https://10.0.0.1/secret-path"}, "allow_private"),
        ({"url": "https://[::1]/secret-path"}, "allow_private"),
        ({"url": "https://[::ffff:127.0.0.1]/secret-path"}, "allow_private"),
        ({"url": "https://2130706433/secret-path"}, "allow_private"),
        ({"url": "http://169.254.169.254/secret-path", "allow_private": True}, "never allowed"),
        ({"timeout_s": 0}, "endpoints.0.timeout_s"),
        ({"retries": 3}, "endpoints.0.retries"),
    ],
)
def test_a_wrong_entry_is_named_by_field_and_never_quoted(
    tmp_path: Path, fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SettingsError, match=problem) as refused:
        read_endpoints(write(tmp_path, entry(**fields)))
    assert "secret-path" not in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_target_has_one_endpoint(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"endpoints\.1 .* endpoints\.0"):
        read_endpoints(write(tmp_path, entry(), entry()))


@pytest.mark.parametrize("content", [b"endpoints: [", b"\xff\xfe\xfa"])
def test_what_is_no_yaml_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"docs/actions\.md"):
        read_endpoints(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="readable endpoints file"):
        read_endpoints(tmp_path / "none.yaml")


def test_an_action_is_taken_by_one_endpoint() -> None:
    lanes = lanes_of([endpoint("route", "fraud"), endpoint("route", "*"), endpoint("task")])
    assert [lane.destination for lane in lanes] == [
        Destination("route", "fraud"),
        Destination("route", None, frozenset({"fraud"})),
        Destination("task", ""),
    ]


def test_without_endpoints_nothing_is_wanted() -> None:
    assert unwanted_destinations([]) == tuple(
        Destination(kind, None) for kind in ("route", "task", "survey", "webhook")
    )


def test_the_default_target_is_unwanted_where_nobody_takes_it() -> None:
    configured = [endpoint("route", "fraud"), endpoint("task", "*"), endpoint("survey")]
    assert unwanted_destinations(configured) == (
        Destination("route", ""),
        Destination("webhook", None),
    )


def test_a_target_that_nobody_takes_is_refused_with_its_rules() -> None:
    rules = [
        rule("theft", {"kind": "route", "target": "fraud"}),
        rule("phishing", {"kind": "route", "target": "fraud"}, {"kind": "task", "target": "crm"}),
    ]
    with pytest.raises(SettingsError) as refused:
        require_endpoints(rules, [endpoint("route", "sales")])
    assert "'fraud' of rule theft, phishing" in str(refused.value)
    assert "crm" not in str(refused.value), "nobody takes tasks here at all"


@pytest.mark.parametrize(
    "configured",
    [
        [],
        [endpoint("task")],
        [endpoint("route", "*")],
        [endpoint("route", "fraud")],
    ],
)
def test_targets_that_somebody_takes_or_of_kinds_that_nobody_takes_are_accepted(
    configured: list[Endpoint],
) -> None:
    rules = [rule("theft", {"kind": "route", "target": "fraud"}, {"kind": "webhook"})]
    require_endpoints(rules, configured)
