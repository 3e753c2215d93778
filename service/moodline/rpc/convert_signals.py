"""Signals to proto messages and back; pure."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from moodline import errors
from moodline.keeping.live import ToldSignals
from moodline.rules.model import Reason, Route, Severity
from moodline.signals.domain import Moment, Signal, SignalEvent, SignalState
from moodline.store.signals import SignalFilter, StoredEvent, StoredSignal
from moodline.v1 import analysis_service_pb2, signal_pb2, signal_service_pb2

# Requests


def filter_from_proto(message: signal_service_pb2.SignalFilter) -> SignalFilter:
    """Read a validated filter; an absent message asks for nothing."""
    return SignalFilter(
        states=frozenset(map(SignalState, message.states)),
        min_severity=Severity(message.min_severity or Severity.INFO),
        reasons=frozenset(map(Reason, message.reasons)),
        routes=frozenset(map(Route, message.routes)),
        causes=frozenset(message.causes),
        conversation_id=message.conversation_id,
        customer_id=message.customer_id,
        raised_from=_time_of(message.raised_from) if message.HasField("raised_from") else None,
        raised_before=(
            _time_of(message.raised_before) if message.HasField("raised_before") else None
        ),
    )


def _time_of(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


# Signals


def signal_to_proto(signal: Signal) -> signal_pb2.Signal:
    """Write a signal without what only the store knows of it."""
    return signal_pb2.Signal(
        signal_id=signal.signal_id,
        conversation_id=signal.conversation_id,
        cause=signal.cause,
        ordinal=signal.ordinal,
        state=signal.state,
        severity=signal.severity,
        reason=signal.reason,
        rule_id=signal.rule_id,
        explanation=signal.explanation,
        next_best_action=signal.next_best_action,
        route=signal.route or "",
        probability=signal.probability,
        peak_probability=signal.peak_probability,
        contributions=(
            signal_pb2.SignalContribution(
                turn_index=part.turn_index, turn_id=part.turn_id, share=part.share
            )
            for part in signal.contributions
        ),
        quotes=(
            signal_pb2.SignalQuote(
                turn_index=quote.turn_index,
                turn_id=quote.turn_id,
                start=quote.start,
                end=quote.end,
                text=quote.text,
                aspect=quote.aspect,
            )
            for quote in signal.quotes
        ),
        raised=_moment(signal.raised),
        updated=_moment(signal.updated),
        ended=_moment(signal.ended),
        rule_set_digest=signal.rule_set_digest,
        model_version=signal.model_version,
        configuration_digest=signal.configuration_digest,
        acknowledged_by=signal.acknowledged_by,
        resolved_by=signal.resolved_by,
        outcome=signal.outcome or "",
    )


def stored_signal_to_proto(stored: StoredSignal) -> signal_pb2.Signal:
    """Write a signal as it is kept."""
    message = signal_to_proto(stored.signal)
    message.raise_time.FromDatetime(stored.raised_at)
    message.update_time.FromDatetime(stored.updated_at)
    if stored.ended_at is not None:
        message.end_time.FromDatetime(stored.ended_at)
    message.channel = stored.channel
    message.language = stored.language
    message.customer_id = stored.customer_id
    return message


def told_signals_to_proto(told: ToldSignals) -> analysis_service_pb2.StreamConversationResponse:
    """Write what a turn of a stream did to signals."""
    return analysis_service_pb2.StreamConversationResponse(
        signals=analysis_service_pb2.StreamSignals(
            turn_index=told.turn_index,
            events=(
                signal_pb2.SignalEvent(
                    event_id=event.event_id,
                    kind=event.kind,
                    signal=signal_to_proto(event.signal),
                    moment=_moment(event.moment),
                )
                for event in told.events
            ),
        )
    )


def stored_event_to_proto(stored: StoredEvent) -> signal_pb2.SignalEvent:
    """Write an event as it is kept."""
    signal = stored.signal.signal
    # The id tells whether the conversation did it: then it names the turn.
    is_by_conversation = stored.event_id != SignalEvent(stored.kind, signal).event_id
    message = signal_pb2.SignalEvent(
        event_id=stored.event_id,
        kind=stored.kind,
        signal=stored_signal_to_proto(stored.signal),
        moment=_moment((signal.ended or signal.updated) if is_by_conversation else None),
    )
    message.event_time.FromDatetime(stored.at)
    return message


def _moment(moment: Moment | None) -> signal_pb2.Moment | None:
    if moment is None:
        return None
    message = signal_pb2.Moment(turn_index=moment.turn_index)
    if moment.offset_ms is not None:
        duration = Duration()
        duration.FromMilliseconds(moment.offset_ms)
        message.offset.CopyFrom(duration)
    return message


# Rules


def rule_problem_to_proto(problem: errors.RuleProblem) -> signal_service_pb2.RuleProblem:
    """Write what is wrong with a rule set."""
    return signal_service_pb2.RuleProblem(
        line=problem.line,
        rule_id=problem.rule_id,
        field=problem.field,
        description=problem.description,
    )
