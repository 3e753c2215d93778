"""One way to analyse a conversation as a batch job, with the model in this process or a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from moodline.analyzer import ConversationAnalyzer
from moodline.app import find_artifact, find_rules, open_analyzer, signal_engine
from moodline.client import AsyncMoodlineClient, MoodlineRpcError, TlsOptions
from moodline.errors import FieldViolation, InvalidRequestError, MoodlineError
from moodline.jobs.answers import Answer, Refused, Scored, analysis_line
from moodline.jobs.fields import as_in_the_line
from moodline.jobs.model import Analyze, ConversationError, ModelIdentity, analyze_in_job
from moodline.rpc.convert import analysis_to_proto, conversation_from_proto
from moodline.rpc.validation import RequestValidator
from moodline.settings import Settings
from moodline.signals.engine import SignalEngine
from moodline.telemetry.metrics import Metrics
from moodline.v1.analysis_pb2 import ConversationAnalysis
from moodline.v1.conversation_pb2 import Conversation


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
    engine = signal_engine(await asyncio.to_thread(find_rules, settings), artifact)
    # A dead loop refuses everything from then on, which ends the run; there is nobody else to tell.
    async with open_analyzer(
        settings,
        artifact=artifact,
        metrics=Metrics(CollectorRegistry()),
        on_fatal=lambda _error: None,
    ) as analyzer:
        yield ReadyModel(
            ModelIdentity(artifact.model_version, artifact.digest, engine.rule_set.digest),
            lambda conversation: _analyze_locally(analyzer, engine, conversation),
        )


async def _analyze_locally(
    analyzer: ConversationAnalyzer, engine: SignalEngine, message: Conversation
) -> ConversationAnalysis:
    conversation = conversation_from_proto(message)
    analysis = await analyze_in_job(analyzer, conversation)
    session = engine.open(
        conversation.conversation_id,
        channel=conversation.channel,
        attributes=conversation.attributes,
    )
    await analyzer.pacer.map(session.add, analysis.turns)
    session.finish()
    return analysis_to_proto(analysis, signals=session.signals)


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
            ModelIdentity(
                capabilities.model_version,
                capabilities.configuration_digest,
                capabilities.rule_set.rule_set_digest,
            ),
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


async def answer(message: bytes, analyze: Analyze, validator: RequestValidator) -> Answer:
    """Analyse one conversation, by the rules of the server.

    Args:
        message: A serialized `moodline.v1.Conversation`, not validated yet.
        analyze: Where it is analysed.
        validator: The rules.

    Raises:
        MoodlineError: If the engine is gone.
        MoodlineRpcError: If the server is gone or refuses the caller.
    """
    conversation = Conversation.FromString(message)
    violations = await validator.check_conversation(conversation, path="")
    if violations:
        return Refused(InvalidRequestError.reason, tuple(map(as_in_the_line, violations)))
    try:
        analysis = await analyze(conversation)
        # In a thread: a long result takes many milliseconds, in which the next engine call is due.
        return Scored(await asyncio.to_thread(analysis_line, analysis))
    except ConversationError as error:
        return Refused(error.code, error.violations)
    except (MoodlineError, MoodlineRpcError):
        raise
    # Our bug, and its message may quote the conversation; the others are scored all the same.
    except Exception as error:  # noqa: BLE001
        problem = f"made moodline fail with {type(error).__name__}; report it"
        return Refused("INTERNAL", (FieldViolation("", problem),))
