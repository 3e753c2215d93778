"""What a receiver is told: the body of an action's request, as pydantic models and JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from moodline.rules.model import Action, Reason, Route, Severity
from moodline.signals.domain import Moment, Signal, SignalEventKind, SignalState


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ActionPart(_Part):
    """What is to be done."""

    idempotency_key: str = Field(description="As the header `webhook-id`: do it once per key.")
    kind: Literal["route", "task", "survey", "webhook"]
    target: str = Field(description="The target that the rule names; empty for the default one.")


class MomentPart(_Part):
    """A point in the conversation."""

    turn_index: int = Field(description="The turn after which it is, from 0.")
    offset_ms: int | None = Field(
        description="Start of that turn since the beginning of the conversation, if known."
    )


class QuotePart(_Part):
    """Words that the signal rests on; personal data in them is masked."""

    turn_index: int
    turn_id: str = Field(description="Empty if the turn has none.")
    text: str
    start: int = Field(description="First code point in the turn's text as it was said.")
    end: int = Field(description="One past the last code point in the turn's text as it was said.")
    aspect: str = Field(description="What the words speak for, e.g. `escalation`.")


class ContributionPart(_Part):
    """A turn's part in the signal."""

    turn_index: int
    turn_id: str = Field(description="Empty if the turn has none.")
    share: float = Field(gt=0, le=1)


class SignalPart(_Part):
    """The signal as it stood when the action was planned."""

    signal_id: str
    cause: str
    ordinal: int = Field(ge=1, description="The how manyth of its cause in the conversation.")
    state: SignalState
    severity: Severity
    rule_id: str
    reason: Reason
    explanation: dict[str, str] = Field(description="By language, at least `en`.")
    next_best_action: dict[str, str] = Field(description="By language; may be empty.")
    route: Route | None = Field(description="Who should take it over.")
    probability: float = Field(ge=0, le=1)
    raised: MomentPart
    updated: MomentPart
    quotes: tuple[QuotePart, ...]
    contributions: tuple[ContributionPart, ...]
    rule_set_digest: str
    model_version: str
    configuration_digest: str


class ConversationPart(_Part):
    """Where the signal was raised."""

    conversation_id: str
    customer_id: str = Field(description="Empty if unknown.")
    channel: str = Field(description="Empty if unknown.")
    language: str = Field(description="BCP-47 tag.")


class ActionData(_Part):
    """What there is to know."""

    tenant: str
    action: ActionPart
    event: Literal["RAISED", "UPDATED"] = Field(
        description="Whether the signal was raised, or taken over by a more severe rule."
    )
    signal: SignalPart
    conversation: ConversationPart


class ActionMessage(_Part):
    """The body of a request; fields may be added within one version."""

    version: Literal[1]
    type: Literal["action.route", "action.task", "action.survey", "action.webhook"]
    timestamp: datetime = Field(description="When the signal asked for it, in UTC.")
    data: ActionData


def action_message(
    action: Action,
    *,
    idempotency_key: str,
    event_kind: SignalEventKind,
    at: datetime,
    tenant: str,
    signal: Signal,
    channel: str,
    language: str,
    customer_id: str,
) -> Mapping[str, Any]:
    """Return the JSON value of an `ActionMessage`.

    Args:
        action: What is to be done.
        idempotency_key: Its key.
        event_kind: RAISED or UPDATED.
        at: When, in UTC.
        tenant: Whose signal it is.
        signal: With masked quotes.
        channel: As `Conversation.channel`.
        language: BCP-47 tag of the conversation.
        customer_id: Empty if unknown.
    """
    message = ActionMessage.model_validate(
        {
            "version": 1,
            "type": f"action.{action.kind}",
            "timestamp": at,
            "data": {
                "tenant": tenant,
                "action": {
                    "idempotency_key": idempotency_key,
                    "kind": action.kind,
                    "target": action.target,
                },
                "event": event_kind.value,
                "signal": _signal(signal),
                "conversation": {
                    "conversation_id": signal.conversation_id,
                    "customer_id": customer_id,
                    "channel": channel,
                    "language": language,
                },
            },
        }
    )
    return message.model_dump(mode="json")


def _signal(signal: Signal) -> dict[str, Any]:
    return {
        "signal_id": signal.signal_id,
        "cause": signal.cause,
        "ordinal": signal.ordinal,
        "state": signal.state,
        "severity": signal.severity,
        "rule_id": signal.rule_id,
        "reason": signal.reason,
        "explanation": dict(signal.explanation),
        "next_best_action": dict(signal.next_best_action),
        "route": signal.route,
        "probability": signal.probability,
        "raised": _moment(signal.raised),
        "updated": _moment(signal.updated),
        "quotes": [
            {
                "turn_index": quote.turn_index,
                "turn_id": quote.turn_id,
                "text": quote.text,
                "start": quote.start,
                "end": quote.end,
                "aspect": quote.aspect,
            }
            for quote in signal.quotes
        ],
        "contributions": [
            {"turn_index": part.turn_index, "turn_id": part.turn_id, "share": part.share}
            for part in signal.contributions
        ],
        "rule_set_digest": signal.rule_set_digest,
        "model_version": signal.model_version,
        "configuration_digest": signal.configuration_digest,
    }


def _moment(moment: Moment) -> dict[str, int | None]:
    return {"turn_index": moment.turn_index, "offset_ms": moment.offset_ms}
