"""Label order of every head: the order of the logits, the losses and the manifest."""

from __future__ import annotations

from typing import Final

SENTIMENT: Final = ("VERY_NEGATIVE", "NEGATIVE", "NEUTRAL", "POSITIVE", "VERY_POSITIVE")
URGENCY: Final = ("LOW", "NORMAL", "HIGH", "CRITICAL")
ESCALATION: Final = ("NONE", "WATCH", "ESCALATE")
STAGE: Final = (
    "none",
    "awareness",
    "consideration",
    "evaluation",
    "purchase",
    "onboarding",
    "usage",
    "support",
    "renewal",
    "advocacy",
)
TAGS: Final = (
    "sales_lead",
    "feature_request",
    "incident",
    "technical_problem",
    "billing",
    "delivery",
    "account",
    "complaint",
    "churn_risk",
    "praise",
    "repeat_contact",
    "human_request",
    "legal_threat",
    "fraud",
    "vulnerable",
    "abuse",
    "user_content",
    "resolved",
    "unresolved",
)
CSAT_GRADE_COUNT: Final = 5
EARLY_WARNING_TURNS: Final = 3
"""Customer turns that an early warning looks ahead."""

ASPECTS: Final = ("sentiment", "urgency", "stage", "escalation")
"""What the encoder pools attention for, hence what evidence can be quoted for."""

HEADS: Final = {
    "sentiment": len(SENTIMENT),
    "urgency": len(URGENCY),
    "stage": len(STAGE),
    "tags": len(TAGS),
    # Continuation ratio: logit of P(at least WATCH), logit of P(ESCALATE | at least WATCH).
    "escalation": len(ESCALATION) - 1,
    "csat": CSAT_GRADE_COUNT,
    # Logit of P(ESCALATE within the next turns | not ESCALATE yet).
    "early_warning": 1,
}

GRADED_LABELS: Final = (
    "sentiment",
    "coarse_sentiment",
    "urgency",
    "stage",
    "escalation",
    "early_warning",
    "csat",
)
"""Labels that are one whole number a turn."""
