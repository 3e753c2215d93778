"""Opaque tokens: places in what a tenant has listed, for whoever comes back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from datetime import datetime
from typing import Any, Final

from moodline.errors import FieldViolation, InvalidRequestError
from moodline.store.signals import PageKey
from moodline.v1.signal_service_pb2 import SignalFilter

_WATCH: Final = "w1"
_PAGE: Final = "p1"
_JOBS: Final = "j1"
_RESULTS: Final = "r1"


def watch_token(tenant: str, position: int) -> str:
    """Return a token for all that happened up to a position."""
    return _written([_WATCH, _digest(tenant), position])


def read_watch_token(token: str, *, tenant: str, field: str) -> int:
    """Return the position that a token stands for.

    Raises:
        InvalidRequestError: If it is none that this tenant was given.
    """
    match _read(token):
        case [kind, owner, int(position)] if kind == _WATCH and owner == _digest(tenant):
            return position
    raise foreign_token(field, "WatchSignals or ListSignals")


def page_token(tenant: str, signal_filter: SignalFilter, key: PageKey) -> str:
    """Return a token for the page behind a signal."""
    owner = _digest(tenant, _filter_text(signal_filter))
    return _written([_PAGE, owner, key.raised_at.isoformat(), key.signal_id])


def read_page_token(token: str, *, tenant: str, signal_filter: SignalFilter, field: str) -> PageKey:
    """Return where the page begins that a token asks for.

    Raises:
        InvalidRequestError: If this tenant was not given it for this filter.
    """
    match _read(token):
        case [kind, owner, str(raised_at), str(signal_id)] if kind == _PAGE and owner == _digest(
            tenant, _filter_text(signal_filter)
        ):
            try:
                return PageKey(datetime.fromisoformat(raised_at), signal_id)
            except ValueError:
                pass
    raise foreign_token(field, "ListSignals with the same filter")


def jobs_token(tenant: str, state: str, create_time: datetime, job_id: str) -> str:
    """Return a token for the page behind a scoring job."""
    return _written([_JOBS, _digest(tenant, state), create_time.isoformat(), job_id])


def read_jobs_token(token: str, *, tenant: str, state: str) -> tuple[datetime, str]:
    """Return behind which scoring job the page begins that a token asks for.

    Raises:
        InvalidRequestError: If this tenant was not given it for this state.
    """
    match _read(token):
        case [kind, owner, str(create_time), str(job_id)] if kind == _JOBS and owner == _digest(
            tenant, state
        ):
            try:
                return datetime.fromisoformat(create_time), job_id
            except ValueError:
                pass
    raise foreign_token("page_token", "ListScoringJobs with the same state")


def results_token(job_id: str, begin: int) -> str:
    """Return a token for the results of a scoring job from a place on."""
    return _written([_RESULTS, _digest(job_id), begin])


def read_results_token(token: str, *, job_id: str) -> int:
    """Return the place in the results that a token asks for.

    Raises:
        InvalidRequestError: If it was not given for this job.
    """
    match _read(token):
        case [kind, owner, int(begin)] if (
            kind == _RESULTS and owner == _digest(job_id) and begin >= 0
        ):
            return begin
    raise foreign_token("page_token", "ListScoringResults of the same job")


def foreign_token(field: str, giver: str) -> InvalidRequestError:
    """What whoever brings a token of another place is told."""
    description = f"was not given to this tenant by {giver}; use one that was, or leave it out"
    return InvalidRequestError([FieldViolation(field, description)])


def _filter_text(signal_filter: SignalFilter) -> str:
    return signal_filter.SerializeToString(deterministic=True).hex()


def _digest(*parts: str) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()


def _written(content: list[object]) -> str:
    text = json.dumps(content, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(token: str) -> Any:
    """Return what a token holds; None if it is no token."""
    try:
        padded = token + "=" * (-len(token) % 4)
        return json.loads(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        return None
