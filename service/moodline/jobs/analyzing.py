"""One way to analyse a conversation as a batch job, with the model in this process or a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from prometheus_client import CollectorRegistry

from moodline.analyzer import ConversationAnalyzer
from moodline.app import find_artifact, open_analyzer
from moodline.batching.planner import Priority
from moodline.client import AsyncMoodlineClient, MoodlineRpcError, TlsOptions
from moodline.errors import (
    DrainingError,
    FieldViolation,
    InvalidRequestError,
    MoodlineError,
    NotReadyError,
    OverloadedError,
)
from moodline.jobs.fields import as_in_the_line
from moodline.rpc.convert import analysis_to_proto, conversation_from_proto
from moodline.settings import Settings
from moodline.telemetry.metrics import Metrics
from moodline.v1.analysis_pb2 import ConversationAnalysis
from moodline.v1.conversation_pb2 import Conversation

Analyze: TypeAlias = Callable[[Conversation], Awaitable[ConversationAnalysis]]
"""Analyses a validated conversation. Raises `ConversationError` if that one cannot be analysed, any
other error if none can."""


class ConversationError(Exception):
    """One conversation cannot be analysed; those after it may well be.

    Attributes:
        violations: What is wrong with it, by field as in the line; at least one.
        code: Stable UPPER_SNAKE name of the cause.
    """

    def __init__(
        self,
        violations: tuple[FieldViolation, ...],
        *,
        code: str = InvalidRequestError.reason,
    ) -> None:
        super().__init__(f"{len(violations)} violations")
        self.violations = violations
        self.code = code


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What decides the results besides the conversations, as results carry it."""

    model_version: str
    configuration_digest: str


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A model that answers, in this process or behind an address."""

    identity: ModelIdentity
    analyze: Analyze


@asynccontextmanager
async def open_local(settings: Settings) -> AsyncIterator[ReadyModel]:
    """Load the model into this process.

    Raises:
        ArtifactError: If the artifact is not what its manifest says.
    """
    artifact = await asyncio.to_thread(find_artifact, settings)
    # A dead loop refuses everything from then on, which ends the run; there is nobody else to tell.
    async with open_analyzer(
        settings,
        artifact=artifact,
        metrics=Metrics(CollectorRegistry()),
        on_fatal=lambda _error: None,
    ) as analyzer:
        yield ReadyModel(
            ModelIdentity(artifact.model_version, artifact.digest),
            lambda conversation: _analyze_locally(analyzer, conversation),
        )


async def _analyze_locally(
    analyzer: ConversationAnalyzer, conversation: Conversation
) -> ConversationAnalysis:
    while True:
        try:
            analysis = await analyzer.analyze(
                conversation_from_proto(conversation), priority=Priority.BULK, mode="batch"
            )
        except OverloadedError as error:
            # Only by the other conversations of this very run, which end.
            await asyncio.sleep(error.retry_after_s)
        except InvalidRequestError as error:
            raise ConversationError(error.violations, code=error.reason) from None
        except (NotReadyError, DrainingError):
            raise
        except MoodlineError as error:
            raise ConversationError((FieldViolation("", str(error)),), code=error.reason) from None
        else:
            return analysis_to_proto(analysis)


@asynccontextmanager
async def open_remote(
    target: str, *, token: str | None, tenant: str | None, tls: TlsOptions | None, timeout_s: float
) -> AsyncIterator[ReadyModel]:
    """Analyse with a server, behind its live work; arguments as of `MoodlineClient`.

    Raises:
        OSError: If a file of `tls` cannot be read.
        MoodlineRpcError: If the server cannot be reached or refuses the caller.
    """
    async with AsyncMoodlineClient(
        target, token=token, tenant=tenant, tls=tls, timeout_s=timeout_s
    ) as client:
        capabilities = await client.capabilities()
        yield ReadyModel(
            ModelIdentity(capabilities.model_version, capabilities.configuration_digest),
            lambda conversation: _analyze_remotely(client, conversation),
        )


async def _analyze_remotely(
    client: AsyncMoodlineClient, conversation: Conversation
) -> ConversationAnalysis:
    # A batch of one: who waits for a file has no claim to go before live conversations.
    try:
        (outcome,) = [outcome async for outcome in client.analyze_batch([conversation])]
    except MoodlineRpcError as error:
        if error.code.name != "DEADLINE_EXCEEDED":
            raise
        outcome = error
    if isinstance(outcome, ConversationAnalysis):
        return outcome
    raise ConversationError(
        tuple(as_in_the_line(violation) for violation in outcome.violations)
        or (FieldViolation("", str(outcome)),),
        code=outcome.reason or outcome.code.name,
    )
