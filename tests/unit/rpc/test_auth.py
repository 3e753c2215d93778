"""Tokens: who gets in, and what a bad tokens file is told."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
import yaml

from moodline.errors import (
    PermissionDeniedError,
    SettingsError,
    TenantMismatchError,
    UnauthenticatedError,
)
from moodline.rpc.auth import OpenAuthenticator, Principal, Scope, TokenAuthenticator

NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def entry(token: str = "good", **fields: object) -> dict[str, object]:
    sha256 = hashlib.sha256(token.encode()).hexdigest()
    return {"name": token, "sha256": sha256, "tenant": "acme", "scopes": ["analysis"], **fields}


def write(path: Path, *entries: dict[str, object]) -> Path:
    path.write_text(yaml.safe_dump({"tokens": list(entries)}), encoding="utf-8")
    return path


def authenticator(
    path: Path, *entries: dict[str, object], clock: Clock | None = None
) -> TokenAuthenticator:
    write(path, *(entries or (entry(),)))
    return TokenAuthenticator(path, clock=clock or Clock(), now=lambda: NOW)


def authenticate(tokens: TokenAuthenticator, token: str, *, tenant: str = "") -> Principal:
    metadata = [("authorization", f"Bearer {token}")]
    if tenant:
        metadata.append(("moodline-tenant", tenant))
    return tokens.authenticate(metadata, scope=Scope.ANALYSIS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.yaml"


def test_a_known_token_is_its_tenant(path: Path) -> None:
    assert authenticate(authenticator(path), "good") == Principal("good", "acme")


def test_the_scheme_is_read_in_any_case(path: Path) -> None:
    tokens = authenticator(path)
    principal = tokens.authenticate([("authorization", "bearer good")], scope=Scope.ANALYSIS)
    assert principal.tenant == "acme"


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", "Basic Z29vZA==")],
        [("authorization", "good")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer bad")],
        [("authorization", b"Bearer good")],
        [("authorization", "Bearer good"), ("authorization", "Bearer good")],
    ],
)
def test_whatever_is_no_known_token_is_unauthenticated(
    path: Path, metadata: list[tuple[str, str | bytes]]
) -> None:
    with pytest.raises(UnauthenticatedError):
        authenticator(path).authenticate(metadata, scope=Scope.ANALYSIS)


def test_an_unknown_token_is_not_repeated(path: Path) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        authenticate(authenticator(path), "my-secret")
    assert "my-secret" not in str(caught.value)


@pytest.mark.parametrize(("age", "is_expired"), [(timedelta(), True), (timedelta(1), False)])
def test_a_token_ends_when_it_says(path: Path, age: timedelta, is_expired: bool) -> None:
    tokens = authenticator(path, entry(expires_at=(NOW + age).isoformat()))
    if is_expired:
        with pytest.raises(UnauthenticatedError, match="expired"):
            authenticate(tokens, "good")
    else:
        assert authenticate(tokens, "good").tenant == "acme"


def test_a_token_without_the_scope_is_denied(path: Path) -> None:
    with pytest.raises(PermissionDeniedError, match="lacks the scope analysis"):
        authenticate(authenticator(path, entry(scopes=[])), "good")


def test_the_own_tenant_may_be_named(path: Path) -> None:
    assert authenticate(authenticator(path), "good", tenant="acme").tenant == "acme"


def test_another_tenant_is_denied(path: Path) -> None:
    with pytest.raises(TenantMismatchError):
        authenticate(authenticator(path), "good", tenant="rival")


def test_without_tokens_everybody_is_the_one_tenant() -> None:
    assert OpenAuthenticator().authenticate([], scope=Scope.ANALYSIS).tenant == "default"


def test_without_tokens_no_other_tenant_may_be_named() -> None:
    with pytest.raises(TenantMismatchError):
        OpenAuthenticator().authenticate([("moodline-tenant", "acme")], scope=Scope.ANALYSIS)


def test_a_changed_file_is_read_again_within_a_second(path: Path) -> None:
    clock = Clock()
    tokens = authenticator(path, clock=clock)
    write(path, entry("fresh"))
    assert authenticate(tokens, "good").name == "good"
    clock.now_s = 1.0
    assert authenticate(tokens, "fresh").name == "fresh"
    with pytest.raises(UnauthenticatedError):
        authenticate(tokens, "good")


@pytest.mark.parametrize("content", [None, "tokens: [", "tokens: [{name: x}]"])
def test_a_file_that_turns_bad_changes_nothing_and_is_reported_once(
    path: Path, content: str | None
) -> None:
    clock = Clock()
    tokens = authenticator(path, clock=clock)
    if content is None:
        path.unlink()
    else:
        path.write_text(content, encoding="utf-8")
    with structlog.testing.capture_logs() as lines:
        for clock.now_s in (1.0, 2.0, 3.0):
            assert authenticate(tokens, "good").tenant == "acme"
    assert [line["event"] for line in lines] == ["tokens_file_rejected"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "file"),
        ("{}", "tokens"),
        ("tokens: [", "YAML"),
        ("tokens: [{name: a, tenant: acme, scopes: [analysis]}]", "tokens.0.sha256"),
        (
            "tokens: [{name: a, sha256: SECRET, tenant: acme, scopes: [analysis]}]",
            "tokens.0.sha256",
        ),
        (yaml.safe_dump({"tokens": [entry(scopes=["SECRET"])]}), "analysis"),
        (yaml.safe_dump({"tokens": [entry(tenant="SECRET SECRET")]}), "tokens.0.tenant"),
        (yaml.safe_dump({"tokens": [entry(expires_at="2026-01-01")]}), "tokens.0.expires_at"),
        (yaml.safe_dump({"tokens": [entry(SECRET=1)]}), "tokens.0"),
        (yaml.safe_dump({"tokens": [entry("a"), entry("b", name="a")]}), "tokens.1.name"),
        (yaml.safe_dump({"tokens": [entry("a"), entry("a", name="b")]}), "tokens.1.sha256"),
    ],
)
def test_a_bad_file_is_refused_naming_the_field(path: Path, content: str, named: str) -> None:
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        TokenAuthenticator(path)
    assert str(path) in str(caught.value)
    assert named in str(caught.value)


def test_a_bad_file_is_not_quoted(path: Path) -> None:
    path.write_text("tokens: [{name: a, sha256: my-secret}]", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        TokenAuthenticator(path)
    assert "my-secret" not in str(caught.value)


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"tokens\.yaml"):
        TokenAuthenticator(path)
