"""Who takes actions: the endpoints of a YAML file. docs/actions.md shows one."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    ValidationError,
    model_validator,
)

from moodline.actions.addresses import is_allowed
from moodline.actions.queue import Destination
from moodline.errors import SettingsError
from moodline.rules.model import Action, Rule

ANY_TARGET: Final = "*"
KINDS: Final = ("route", "task", "survey", "webhook")
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with
_SECRET_BYTES: Final = range(24, 65)
"""Source: Standard Webhooks, "Signature scheme": between 24 and 64 bytes."""


def _signing_secret(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    try:
        key = base64.b64decode(value.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not value.startswith(_SECRET_PREFIX) or len(key) not in _SECRET_BYTES:
        raise ValueError("must be whsec_ and the Base64 of 24 to 64 random bytes")
    return secret


class Endpoint(BaseModel):
    """One receiver of actions.

    Attributes:
        kind: What it takes.
        target: Of which target; `ANY_TARGET` for all that have no endpoint of their own.
        url: Where; may hold secrets, so it is never logged.
        secrets: That requests are signed with, one signature each; several while they change.
        allow_private: Whether it may be inside the network, by plain HTTP or at private addresses.
        timeout_s: What one attempt may take, in seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["route", "task", "survey", "webhook"]
    target: Annotated[str, Field(max_length=128)] = ""
    url: HttpUrl
    secrets: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(_signing_secret)], ...],
        Field(min_length=1, max_length=5),
    ]
    allow_private: bool = False
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0

    @model_validator(mode="after")
    def _can_be_reached(self) -> Endpoint:
        if self.url.username is not None or self.url.password is not None:
            raise ValueError("url must not hold a user or a password; requests are signed instead")
        if self.url.fragment is not None:
            raise ValueError("url must not hold a fragment (#...)")
        if self.url.scheme == "http" and not self.allow_private:
            raise ValueError(
                "url must begin with https://, or set allow_private if it is inside your network"
            )
        host = (self.url.host or "").strip("[]")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return self  # A name, which is judged when it is resolved.
        if not is_allowed(address, allow_private=self.allow_private):
            raise ValueError(
                "url leads to a private, local or reserved address; set allow_private if it is "
                "inside your network (link-local and metadata addresses are never allowed)"
            )
        return self


class _EndpointFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Lane:
    """An endpoint and the actions that it takes."""

    endpoint: Endpoint
    destination: Destination


def read_endpoints(path: Path) -> tuple[Endpoint, ...]:
    """Return the endpoints of a file.

    Raises:
        SettingsError: If the file is missing, malformed or names a target twice. The message names
            the entry and the field, never a value: URLs and secrets stay out of logs.
    """
    try:
        content: Any = yaml.safe_load(path.read_text("utf-8"))
        endpoints = _EndpointFile.model_validate(content).endpoints
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; name a readable endpoints file.") from error
    except (yaml.YAMLError, UnicodeDecodeError):
        # Their messages quote the file.
        raise SettingsError(f"{path}: not a YAML file in UTF-8; see docs/actions.md.") from None
    except ValidationError as error:
        problems = [
            f"{path}: {'.'.join(map(str, detail['loc'])) or 'file'}: {detail['msg']}"
            for detail in error.errors(include_url=False, include_input=False)
        ]
        raise SettingsError("\n".join(problems)) from None
    places = [(endpoint.kind, endpoint.target) for endpoint in endpoints]
    for index, place in enumerate(places):
        if place in places[:index]:
            raise SettingsError(
                f"{path}: endpoints.{index} has kind and target of "
                f"endpoints.{places.index(place)}; give each target one entry."
            )
    return endpoints


def lanes_of(endpoints: Iterable[Endpoint]) -> tuple[Lane, ...]:
    """Return what each endpoint takes; no action is taken by two."""
    endpoints = tuple(endpoints)
    return tuple(
        Lane(
            endpoint,
            Destination(endpoint.kind, None, _named_targets(endpoint.kind, endpoints))
            if endpoint.target == ANY_TARGET
            else Destination(endpoint.kind, endpoint.target),
        )
        for endpoint in endpoints
    )


def unwanted_destinations(endpoints: Iterable[Endpoint]) -> tuple[Destination, ...]:
    """Return the actions that nobody is configured to take, and that are done as they are.

    Those are kinds without any endpoint, and the default target of a kind that has endpoints for
    others alone. Other targets are not among them: see `require_endpoints`.
    """
    endpoints = tuple(endpoints)
    unwanted = []
    for kind in KINDS:
        targets = {endpoint.target for endpoint in endpoints if endpoint.kind == kind}
        if not targets:
            unwanted.append(Destination(kind, None))
        elif not targets & {"", ANY_TARGET}:
            unwanted.append(Destination(kind, ""))
    return tuple(unwanted)


def require_endpoints(rules: Sequence[Rule], endpoints: Iterable[Endpoint]) -> None:
    """Check that there is somebody for every target that rules name.

    Args:
        rules: Those in force.
        endpoints: As configured.

    Raises:
        SettingsError: If a rule names a target that no endpoint of its kind takes, while others of
            that kind are configured; all such targets are named, each with its rules.
    """
    endpoints = tuple(endpoints)
    configured = {endpoint.kind for endpoint in endpoints}
    missing: dict[Action, list[str]] = {}
    for rule in rules:
        for action in rule.actions:
            targets = _named_targets(action.kind, endpoints)
            is_taken = action.target in targets or any(
                endpoint.kind == action.kind and endpoint.target == ANY_TARGET
                for endpoint in endpoints
            )
            if action.target and action.kind in configured and not is_taken:
                missing.setdefault(action, []).append(rule.id)
    if missing:
        raise SettingsError(
            "\n".join(
                f"the endpoints file has no endpoint of kind {action.kind} for the target "
                f"{action.target!r} of rule {', '.join(rule_ids)}: add one, or one for the target "
                f"{ANY_TARGET!r}, which takes all that have none of their own."
                for action, rule_ids in missing.items()
            )
        )


def _named_targets(kind: str, endpoints: Iterable[Endpoint]) -> frozenset[str]:
    return frozenset(
        endpoint.target
        for endpoint in endpoints
        if endpoint.kind == kind and endpoint.target != ANY_TARGET
    )
