"""Who may call: bearer tokens of a YAML file, each of one tenant and with its scopes.

The file holds hashes alone, so reading it gives nobody access. docs/operations.md shows one.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Protocol

import structlog
import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from moodline.errors import (
    PermissionDeniedError,
    SettingsError,
    TenantMismatchError,
    UnauthenticatedError,
)

AUTHORIZATION_KEY: Final = "authorization"
TENANT_KEY: Final = "moodline-tenant"
DEFAULT_TENANT: Final = "default"
"""The one tenant of a server that asks for no tokens."""
RELOAD_INTERVAL_S: Final = 1.0
"""How often the file is looked at, at most: a change counts within a second, and a thousand calls
a second cost no thousand looks."""

_SCHEME: Final = "bearer "

_log = structlog.get_logger(__name__)

Metadata = Iterable[tuple[str, str | bytes]]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class Scope(StrEnum):
    """What a token permits."""

    ANALYSIS = "analysis"
    """All methods of AnalysisService."""
    SIGNALS = "signals"
    """All methods of SignalService."""
    JOBS = "jobs"
    """All methods of ScoringJobService."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls.

    Attributes:
        name: Of the token; for the log.
        tenant: Whose data the call concerns.
    """

    name: str
    tenant: str


_bound_principal: ContextVar[Principal | None] = ContextVar("moodline_principal", default=None)


def bind_principal(principal: Principal) -> None:
    """Bind who calls to the current call, which runs in a context of its own."""
    _bound_principal.set(principal)


def current_principal() -> Principal:
    """Return who calls.

    Raises:
        UnauthenticatedError: Outside of authenticated calls.
    """
    principal = _bound_principal.get()
    if principal is None:
        raise UnauthenticatedError("Nobody has been authenticated.")
    return principal


class Authenticator(Protocol):
    """Decides whether a call may proceed."""

    def authenticate(self, metadata: Metadata, *, scope: Scope) -> Principal:
        """Return who calls.

        Raises:
            UnauthenticatedError: If no valid token came.
            PermissionDeniedError: If it lacks the scope.
            TenantMismatchError: If the call names another tenant.
        """
        ...


class OpenAuthenticator:
    """Lets everybody in, as the one tenant."""

    def authenticate(self, metadata: Metadata, *, scope: Scope) -> Principal:
        """Return the anonymous principal.

        Raises:
            TenantMismatchError: If the call names another tenant: what it believes to keep apart
                would not be.
        """
        principal = Principal("anonymous", DEFAULT_TENANT)
        _check_tenant(metadata, principal)
        return principal


class _TokenEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    tenant: Name
    scopes: frozenset[Scope]
    expires_at: AwareDatetime | None = None


class _TokenFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: tuple[_TokenEntry, ...]


class TokenAuthenticator:
    """Knows the tokens of a file, and reads it again when it changes."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Read the file.

        Args:
            path: The YAML file.
            clock: Monotonic time in seconds, for looking at the file.
            now: The time of day, for expiry.

        Raises:
            SettingsError: If the file cannot be read; the message names the entry and the field,
                never a value.
        """
        self._path = path
        self._clock = clock
        self._now = now
        self._looked_s = clock()
        self._signature = _signature(path)
        self._entries = _read(path)

    def authenticate(self, metadata: Metadata, *, scope: Scope) -> Principal:
        """Return whose token came; see `Authenticator`."""
        self._reload_if_changed()
        metadata = list(metadata)
        token = _bearer_token(metadata)
        # Looking a hash up takes a time that tells nothing of the token: whoever guesses cannot
        # choose how much of the hash is right.
        entry = self._entries.get(hashlib.sha256(token.encode()).hexdigest())
        if entry is None:
            raise UnauthenticatedError("The bearer token is unknown; use one of this service.")
        if entry.expires_at is not None and entry.expires_at <= self._now():
            raise UnauthenticatedError(
                f"The bearer token {entry.name} expired at {entry.expires_at.isoformat()}; use a "
                "new one."
            )
        principal = Principal(entry.name, entry.tenant)
        _check_tenant(metadata, principal)
        if scope not in entry.scopes:
            raise PermissionDeniedError(
                f"The bearer token {entry.name} lacks the scope {scope}; have it added or use "
                "another one."
            )
        return principal

    def _reload_if_changed(self) -> None:
        now_s = self._clock()
        if now_s - self._looked_s < RELOAD_INTERVAL_S:
            return
        self._looked_s = now_s
        signature = _signature(self._path)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._entries = _read(self._path)
        except SettingsError as error:
            # Locking everybody out, or letting revoked tokens in again at a restart, would be
            # worse than staying with what was valid and calling for somebody.
            _log.error("tokens_file_rejected", problem=str(error))
        else:
            _log.info("tokens_file_reloaded", token_count=len(self._entries))


def _bearer_token(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    values = [value for key, value in metadata if key == AUTHORIZATION_KEY]
    if len(values) != 1:
        raise UnauthenticatedError(
            f"{len(values)} authorization entries came, expected one: `authorization: Bearer "
            "TOKEN`."
        )
    value = values[0]
    if not isinstance(value, str) or not value.lower().startswith(_SCHEME):
        raise UnauthenticatedError(
            "The authorization is no bearer token; send `authorization: Bearer TOKEN`."
        )
    return value[len(_SCHEME) :].strip()


def _check_tenant(metadata: Metadata, principal: Principal) -> None:
    if any(key == TENANT_KEY and value != principal.tenant for key, value in metadata):
        raise TenantMismatchError(
            f"{TENANT_KEY} does not name the tenant of the bearer token; leave it out or use a "
            "token of that tenant."
        )


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 - the same call, several times cheaper
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _read(path: Path) -> Mapping[str, _TokenEntry]:
    """Return the entries by hash.

    Raises:
        SettingsError: If the file is missing, malformed or names a token twice.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
        entries = _TokenFile.model_validate(content).tokens
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; name a readable tokens file.") from error
    except (yaml.YAMLError, UnicodeDecodeError):
        # Their messages quote the file, in which somebody may have put a token itself.
        raise SettingsError(f"{path}: not a YAML file in UTF-8; see docs/operations.md.") from None
    except ValidationError as error:
        problems = [
            f"{path}: {'.'.join(map(str, detail['loc'])) or 'file'}: {detail['msg']}"
            for detail in error.errors(include_url=False, include_input=False)
        ]
        raise SettingsError("\n".join(problems)) from None
    for field in ("name", "sha256"):
        values = [getattr(entry, field) for entry in entries]
        twice = next((index for index, v in enumerate(values) if v in values[:index]), None)
        if twice is not None:
            raise SettingsError(
                f"{path}: tokens.{twice}.{field} repeats that of tokens."
                f"{values.index(values[twice])}; give each token one entry."
            )
    return {entry.sha256: entry for entry in entries}
