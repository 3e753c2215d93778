"""Proto messages to domain values and back; pure, and the only place that knows both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration

from moodline import domain
from moodline.artifact import Manifest
from moodline.limits import Limits
from moodline.rpc.convert_signals import signal_to_proto
from moodline.rules.rule_set import RuleSet
from moodline.signals.domain import Signal
from moodline.v1 import analysis_pb2, analysis_service_pb2, conversation_pb2

_Label = TypeVar("_Label", bound=StrEnum)

# Requests


def conversation_from_proto(message: conversation_pb2.Conversation) -> domain.Conversation:
    """Read a validated conversation."""
    return domain.Conversation(
        conversation_id=message.conversation_id,
        turns=tuple(turn_from_proto(turn) for turn in message.turns),
        channel=message.channel,
        language=message.language,
        customer_id=message.customer_id,
        attributes=dict(message.attributes),
    )


def turn_from_proto(message: conversation_pb2.Turn) -> domain.Turn:
    """Read a validated turn."""
    return domain.Turn(
        role=domain.Role(message.role),
        text=message.text,
        turn_id=message.turn_id,
        participant_id=message.participant_id,
        start_ms=_milliseconds(message.start_offset) if message.HasField("start_offset") else None,
        end_ms=_milliseconds(message.end_offset) if message.HasField("end_offset") else None,
    )


def _milliseconds(duration: Duration) -> int:
    """Whole milliseconds, rounded down."""
    return int(duration.seconds) * 1000 + int(duration.nanos) // 1_000_000


# Results


def analysis_to_proto(
    analysis: domain.ConversationAnalysis,
    *,
    turns: Iterable[analysis_pb2.TurnResult] | None = None,
    signals: Iterable[Signal] = (),
) -> analysis_pb2.ConversationAnalysis:
    """Write a result.

    Args:
        analysis: The result.
        turns: Its turns, if they have been written already.
        signals: Its signals as they stand at the end.
    """
    rollup = analysis.rollup
    return analysis_pb2.ConversationAnalysis(
        conversation_id=analysis.conversation_id,
        turns=map(turn_result_to_proto, analysis.turns) if turns is None else turns,
        sentiment=_rollup_sentiment(rollup.sentiment),
        urgency=_rollup_urgency(rollup.urgency),
        stage=_rollup_stage(rollup.stage),
        escalation=_rollup_escalation(rollup.escalation),
        expected_csat=rollup.expected_csat,
        tags=(
            analysis_pb2.RollupTag(
                name=tag.name, probability=tag.probability, first_turn_index=tag.first_turn_index
            )
            for tag in rollup.tags
        ),
        participants=map(_participant, rollup.participants),
        model_version=analysis.model_version,
        configuration_digest=analysis.configuration_digest,
        language=analysis.language,
        is_language_measured=analysis.is_language_measured,
        warnings=map(_warning, analysis.warnings),
        absence=rollup.absence or "",
        signals=map(signal_to_proto, signals),
    )


def turn_result_to_proto(
    result: domain.TurnResult, *, omit_evidence: bool = False
) -> analysis_pb2.TurnResult:
    """Write the result of one turn.

    Args:
        result: The result.
        omit_evidence: Whether its evidence is left out.
    """
    message = analysis_pb2.TurnResult(
        turn_index=result.turn_index,
        turn_id=result.turn.turn_id,
        role=result.turn.role,
        participant_id=result.turn.participant_id,
        absence=result.absence or "",
    )
    scores = result.scores
    if scores is None:
        return message
    message.sentiment.label = scores.sentiment.label
    message.sentiment.score = scores.sentiment.score
    message.sentiment.probabilities.update(_by_name(scores.sentiment.probabilities))
    message.urgency.CopyFrom(_urgency(scores.urgency))
    message.stage.name = scores.stage.name
    message.stage.probability = scores.stage.probability
    message.tags.extend(
        analysis_pb2.Tag(name=tag.name, probability=tag.probability) for tag in scores.tags
    )
    message.evidence.extend(
        analysis_pb2.Evidence(
            start=span.start, end=span.end, text=span.text, aspect=span.aspect, weight=span.weight
        )
        for span in (() if omit_evidence else scores.evidence)
    )
    message.escalation.level = scores.escalation.level
    message.escalation.probability = scores.escalation.probability
    message.escalation.probabilities.update(_by_name(scores.escalation.probabilities))
    if scores.escalation.early_warning is not None:
        message.escalation.early_warning_probability = scores.escalation.early_warning
    message.expected_csat = scores.expected_csat
    return message


def stream_answer_to_proto(
    answer: domain.StreamedTurn | domain.DuplicateTurn, *, omit_evidence: bool = False
) -> analysis_service_pb2.StreamConversationResponse:
    """Write the answer to one turn of a stream; `omit_evidence` as of `turn_result_to_proto`."""
    if isinstance(answer, domain.DuplicateTurn):
        return analysis_service_pb2.StreamConversationResponse(
            duplicate_turn=analysis_service_pb2.DuplicateTurn(
                turn_id=answer.turn_id, turn_index=answer.turn_index
            )
        )
    return analysis_service_pb2.StreamConversationResponse(
        turn_result=analysis_service_pb2.StreamTurnResult(
            turn=turn_result_to_proto(answer.result, omit_evidence=omit_evidence),
            is_final=answer.is_final,
            state=_state(answer.state),
            warnings=map(_warning, answer.warnings),
        )
    )


def _state(state: domain.ConversationState) -> analysis_pb2.ConversationState:
    return analysis_pb2.ConversationState(
        turn_count=state.turn_count,
        customer_turn_count=state.customer_turn_count,
        sentiment_score=state.sentiment_score,
        trend=_trend(state.trend),
        escalation=_rollup_escalation(state.escalation),
    )


def _by_name(probabilities: Mapping[_Label, float]) -> dict[str, float]:
    return {label.value: probability for label, probability in probabilities.items()}


def _urgency(urgency: domain.Urgency) -> analysis_pb2.Urgency:
    return analysis_pb2.Urgency(level=urgency.level, probabilities=_by_name(urgency.probabilities))


def _trend(trend: domain.SentimentTrend) -> analysis_pb2.SentimentTrend:
    return analysis_pb2.SentimentTrend(
        label=trend.label or "",
        customer_turn_count=trend.customer_turn_count,
        absence=trend.absence or "",
    )


def _rollup_sentiment(
    sentiment: domain.RollupSentiment | None,
) -> analysis_pb2.RollupSentiment | None:
    if sentiment is None:
        return None
    return analysis_pb2.RollupSentiment(
        label=sentiment.label,
        score=sentiment.score,
        trend=_trend(sentiment.trend),
        begin_score=sentiment.begin_score,
        end_score=sentiment.end_score,
        quarters=(
            analysis_pb2.QuarterSentiment(
                customer_turn_count=quarter.customer_turn_count,
                score=quarter.score,
                absence=quarter.absence or "",
            )
            for quarter in sentiment.quarters
        ),
        scales=analysis_pb2.SentimentScales(
            minus5_to_5=sentiment.scales.minus5_to_5,
            minus100_to_100=sentiment.scales.minus100_to_100,
            zero_to_100=sentiment.scales.zero_to_100,
            minus1_to_1=sentiment.scales.minus1_to_1,
        ),
        customer_turn_count=sentiment.customer_turn_count,
    )


def _rollup_urgency(urgency: domain.RollupUrgency | None) -> analysis_pb2.RollupUrgency | None:
    if urgency is None:
        return None
    return analysis_pb2.RollupUrgency(
        level=urgency.end.level,
        probabilities=_by_name(urgency.end.probabilities),
        peak=_urgency(urgency.peak),
        peak_turn_index=urgency.peak_turn_index,
    )


def _rollup_stage(stage: domain.RollupStage | None) -> analysis_pb2.RollupStage | None:
    if stage is None:
        return None
    return analysis_pb2.RollupStage(
        name=stage.end.name,
        probability=stage.end.probability,
        stage_path=(
            analysis_pb2.StageEntry(name=entry.name, turn_index=entry.turn_index)
            for entry in stage.stage_path
        ),
    )


def _rollup_escalation(
    escalation: domain.RollupEscalation | None,
) -> analysis_pb2.RollupEscalation | None:
    if escalation is None:
        return None
    return analysis_pb2.RollupEscalation(
        level=escalation.end.level,
        probability=escalation.end.probability,
        probabilities=_by_name(escalation.end.probabilities),
        peak_level=escalation.peak_level,
        peak_probability=escalation.peak_probability,
        first_turn_index=escalation.first_turn_index,
    )


def _participant(participant: domain.ParticipantRollup) -> analysis_pb2.ParticipantRollup:
    return analysis_pb2.ParticipantRollup(
        participant_id=participant.participant_id,
        role=participant.role,
        turn_count=participant.turn_count,
        word_count=participant.word_count,
        char_count=participant.char_count,
        sentiment=_rollup_sentiment(participant.sentiment),
        absence=participant.absence or "",
    )


def _warning(warning: domain.AnalysisWarning) -> analysis_pb2.AnalysisWarning:
    return analysis_pb2.AnalysisWarning(
        code=warning.code, message=warning.message, turn_index=warning.turn_index
    )


# Capabilities


def capabilities_to_proto(
    *,
    manifest: Manifest,
    model_version: str,
    configuration_digest: str,
    server_version: str,
    limits: Limits,
    retryable_codes: Mapping[str, tuple[str, ...]],
    rule_set: RuleSet,
    are_signals_kept: bool,
) -> analysis_service_pb2.Capabilities:
    """Write what a server can do.

    Args:
        manifest: Of the artifact that is served.
        model_version: As results carry it.
        configuration_digest: As results carry it.
        server_version: Of moodline.
        limits: Of requests.
        retryable_codes: By full method name; all methods are idempotent.
        rule_set: The rules in force.
        are_signals_kept: Whether there is a store.
    """
    labels = manifest.labels
    heads: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("sentiment", labels.sentiment),
        ("urgency", labels.urgency),
        ("stage", labels.stage),
        ("tags", labels.tags),
        ("escalation", labels.escalation),
    )
    return analysis_service_pb2.Capabilities(
        server_version=server_version,
        model_version=model_version,
        configuration_digest=configuration_digest,
        limits=analysis_service_pb2.Limits(
            max_turn_chars=limits.max_turn_chars,
            max_conversation_turns=limits.max_conversation_turns,
            max_conversation_chars=limits.max_conversation_chars,
            max_batch_conversations=limits.max_batch_conversations,
            max_stream_turns=limits.max_stream_turns,
            max_partial_turns_open=limits.max_partial_turns_open,
            max_id_chars=limits.max_id_chars,
            max_message_bytes=limits.max_message_bytes,
            max_attributes=limits.max_attributes,
            max_turns_awaiting_store=limits.max_turns_awaiting_store,
            max_page_size=limits.max_page_size,
        ),
        heads=(
            analysis_service_pb2.Head(name=name, labels=names, is_multi_label=name == "tags")
            for name, names in heads
        ),
        aspects=manifest.encoder.aspects,
        measured_languages=manifest.languages.measured,
        unmeasured_languages=manifest.languages.unmeasured,
        methods=(
            analysis_service_pb2.MethodSemantics(
                method=method, is_idempotent=True, retryable_codes=codes
            )
            for method, codes in retryable_codes.items()
        ),
        rule_set=analysis_service_pb2.RuleSetSummary(
            name=rule_set.content.name,
            rule_set_digest=rule_set.digest,
            rule_count=len(rule_set.rules),
        ),
        is_signal_store_open=are_signals_kept,
    )
