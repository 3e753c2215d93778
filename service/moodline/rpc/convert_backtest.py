"""Messages of backtests to values and back; pure."""

from __future__ import annotations

from typing import Final

from google.protobuf.json_format import ParseDict
from pydantic import TypeAdapter

from moodline import domain
from moodline.backtest import figures
from moodline.backtest.contacts import Contact, ContactFacts, ContactLabels, duration_s
from moodline.v1 import backtest_pb2, signal_service_pb2

_FIGURES: Final = TypeAdapter(figures.BacktestFigures)


def labels_from_proto(message: signal_service_pb2.EscalationLabels) -> ContactLabels:
    """Read validated labels."""
    return ContactLabels(
        level=domain.EscalationLevel(message.level),
        watch_turn=message.watch_turn_index if message.HasField("watch_turn_index") else None,
        escalate_turn=(
            message.escalate_turn_index if message.HasField("escalate_turn_index") else None
        ),
        reasons=tuple(message.reasons),
    )


def contact_from_proto(
    message: signal_service_pb2.LabelledConversation,
    conversation: domain.Conversation,
    analysis: domain.ConversationAnalysis,
    *,
    number: int,
) -> Contact:
    """Join a conversation of a request with its results.

    Args:
        message: Validated.
        conversation: As it was read from the message.
        analysis: Its results.
        number: Which of the request it is, from 1.
    """
    labels = labels_from_proto(message.labels) if message.HasField("labels") else None
    facts = ContactFacts(
        contact_id=conversation.conversation_id,
        source="",
        number=number,
        channel=conversation.channel,
        language=analysis.language,
        turn_count=len(analysis.turns),
        duration_s=duration_s(analysis.turns),
        labels=labels,
    )
    return Contact(facts, analysis.turns, conversation.attributes)


def staffing_from_proto(message: signal_service_pb2.BacktestRulesRequest) -> figures.Staffing:
    """Read who looks at the alerts."""
    return figures.Staffing(message.supervisor_count or 1, message.contacts_per_hour or None)


def figures_to_proto(result: figures.BacktestFigures) -> backtest_pb2.BacktestFigures:
    """Write figures; the messages have the names of the values."""
    return ParseDict(_FIGURES.dump_python(result, mode="json"), backtest_pb2.BacktestFigures())
