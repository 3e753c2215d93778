"""A running service as the engine of a job."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final

from moodline.client import TlsOptions
from moodline.jobs.analyzing import open_remote
from moodline.jobs.engines.scoring_thread import ScoringThread, scoring_thread

IN_FLIGHT_PER_SERVER: Final = 32
"""Conversations that a server has of this job at a time: enough to fill its engine calls, few
enough to leave its admission room for others."""


def server_engine(
    target: str,
    *,
    token: str | None,
    tenant: str | None,
    tls: TlsOptions | None,
    timeout_s: float,
    max_in_flight: int = IN_FLIGHT_PER_SERVER,
) -> AbstractContextManager[ScoringThread]:
    """Return an engine that asks a server, behind its live work.

    Args:
        target: Address, as of `MoodlineClient`; the other arguments, too.
        token: Bearer token.
        tenant: Tenant that the token must be of.
        tls: How to encrypt.
        timeout_s: For one conversation, retries included.
        max_in_flight: Conversations that are sent and not yet answered.
    """
    return scoring_thread(
        lambda: open_remote(target, token=token, tenant=tenant, tls=tls, timeout_s=timeout_s),
        max_in_flight=max_in_flight,
    )
