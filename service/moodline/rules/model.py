"""What a rule set may say: the shape of its YAML, and so of the JSON Schema for editors."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from moodline.domain import Role
from moodline.rules.expressions import MAX_EXPRESSION_CHARS
from moodline.rules.phrases import MAX_PHRASE_CHARS
from moodline.rules.vocabulary import Scope

MAX_RULES: Final = 500
MAX_PHRASE_LISTS: Final = 200
MAX_PHRASES: Final = 500
"""In one list, all languages together."""
MAX_EXPLANATION_CHARS: Final = 200
MAX_HOLD_TURNS: Final = 20
MAX_EVIDENCE_TURNS: Final = 8

_NAME: Final = r"^[a-z][a-z0-9_]{0,63}$"
_LANGUAGE: Final = r"^[a-z]{2,3}$"


class Reason(StrEnum):
    """Why a rule matters. Source: docs/rules.md, "Reasons"."""

    HUMAN_REQUEST = "human_request"
    REPEAT_CONTACT = "repeat_contact"
    SENTIMENT_COLLAPSE = "sentiment_collapse"
    CHURN_RISK = "churn_risk"
    LEGAL_THREAT = "legal_threat"
    FRAUD = "fraud"
    SAFETY = "safety"
    VULNERABLE = "vulnerable"
    INCIDENT = "incident"
    ABUSE = "abuse"
    CRITICAL_URGENCY = "critical_urgency"
    SALES_OPPORTUNITY = "sales_opportunity"
    AGENT_CONDUCT = "agent_conduct"
    ESCALATION = "escalation"
    STAGE_CHANGE = "stage_change"
    STAGE_REGRESSION = "stage_regression"
    ADVOCACY = "advocacy"
    OTHER = "other"


class Severity(StrEnum):
    """How much a signal asks for attention, rising. INFO is news that asks nobody to act."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for INFO, rising."""
        return _SEVERITY_RANK[self]


_SEVERITY_RANK: Final = {severity: rank for rank, severity in enumerate(Severity)}


class Route(StrEnum):
    """Who should take the matter over."""

    SALES = "sales"
    SUPPORT = "support"
    BILLING = "billing"
    TECHNICAL = "technical"
    RETENTION = "retention"
    FRAUD = "fraud"
    SUPERVISOR = "supervisor"


class TurnChoice(StrEnum):
    """On which turns a rule is evaluated."""

    CUSTOMER = "customer"
    """Customer turns that the model has scored."""
    AGENT = "agent"
    BOT = "bot"
    ANY = "any"

    @property
    def scope(self) -> Scope:
        """What the rule's expressions may read."""
        return Scope.CUSTOMER if self is TurnChoice.CUSTOMER else Scope.ANY

    @property
    def role(self) -> Role | None:
        """The role that a turn must have; None for any."""
        return None if self is TurnChoice.ANY else Role(self.value)


def _has_english(texts: dict[str, str]) -> dict[str, str]:
    if "en" not in texts:
        raise ValueError("needs a text in English (en), which stands in for missing languages")
    return texts


Expression = Annotated[str, Field(min_length=1, max_length=MAX_EXPRESSION_CHARS)]
Name = Annotated[str, Field(pattern=_NAME)]
Texts = Annotated[
    dict[
        Annotated[str, Field(pattern=_LANGUAGE)],
        Annotated[str, Field(min_length=1, max_length=MAX_EXPLANATION_CHARS)],
    ],
    AfterValidator(_has_english),
]
PhraseList = dict[
    Annotated[str, Field(pattern=_LANGUAGE)],
    Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_PHRASE_CHARS)]],
        Field(min_length=1, max_length=MAX_PHRASES),
    ],
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Clearing(_Part):
    """When an open signal is over; without it, as soon as `when` no longer holds."""

    when: Expression | None = Field(None, description="Must be true for the signal to clear; CEL.")
    below_probability: float | None = Field(
        None,
        gt=0,
        le=1,
        description="The probability must be under this for the signal to clear; less than "
        "min_probability, so that a signal does not flicker.",
    )
    hold_turns: int = Field(
        1, ge=1, le=MAX_HOLD_TURNS, description="On so many evaluated turns without a break."
    )


class CoolDown(_Part):
    """How long no other signal of the cause is raised after one ended, unless more severe."""

    turns: int = Field(6, ge=0, le=1_000, description="Turns of the conversation.")
    seconds: float = Field(
        0, ge=0, le=31_536_000, description="Besides the turns; passed where times are unknown."
    )


class EvidenceChoice(_Part):
    """Which words a match quotes."""

    aspects: tuple[Literal["sentiment", "urgency", "stage", "escalation"], ...] = Field(
        ("escalation", "urgency", "sentiment"),
        description="Of a turn, the words behind the first of these that has some; phrases that "
        "the rule found come first.",
    )
    turns: int = Field(
        3,
        ge=1,
        le=MAX_EVIDENCE_TURNS,
        description="How many of the last scored customer turns may contribute.",
    )


class Action(_Part):
    """Something to be done when a signal of the rule is raised."""

    kind: Literal["route", "task", "survey", "webhook"] = Field(description="What to do.")
    target: str = Field(
        "",
        max_length=128,
        description="Queue, list of tasks, survey or webhook by the name that the deployment gave "
        "it; empty for the default one.",
    )


class Rule(_Part):
    """One rule."""

    id: Name = Field(description="Unique in the rule set.")
    explanation: Texts = Field(
        description="One line by language, that an agent understands: what was noticed."
    )
    reason: Reason = Field(description="Why it matters.")
    severity: Severity = Field(description="How much it asks for attention; info is news alone.")
    turns: TurnChoice = Field(
        TurnChoice.CUSTOMER, description="The turns on which the rule is evaluated."
    )
    when: Expression = Field(description="Must be true for a match; CEL (docs/rules.md).")
    probability: Expression = Field(
        "1.0",
        description="How probable the matter is, in 0..1; CEL over the values of one turn.",
    )
    min_probability: float = Field(
        0, ge=0, le=1, description="The probability that a match needs; the knob of backtests."
    )
    hold_turns: int = Field(
        1,
        ge=1,
        le=MAX_HOLD_TURNS,
        description="On so many evaluated turns without a break it must hold before it counts.",
    )
    clear: Clearing = Field(Clearing(), description="When an open signal is over.")
    cool_down: CoolDown = Field(CoolDown(), description="How long it keeps quiet afterwards.")
    cause: Name | None = Field(
        None,
        description="Rules of one cause share one open signal; the rule's id if left out.",
    )
    at_end: Literal["keep", "expire"] = Field(
        "keep",
        description="Whether an open signal outlives the conversation, because there is still "
        "something to do.",
    )
    expire_after_s: int = Field(
        259_200, ge=60, le=31_536_000, description="Age at which an open signal expires."
    )
    route: Route | None = Field(None, description="Who should take it over.")
    next_best_action: Texts | None = Field(None, description="What to do now, by language.")
    actions: tuple[Action, ...] = Field((), max_length=8, description="What is done by itself.")
    evidence: EvidenceChoice = Field(EvidenceChoice(), description="Which words are quoted.")

    @model_validator(mode="after")
    def _clears_below_what_raises(self) -> Rule:
        below = self.clear.below_probability
        if below is not None and below > self.min_probability:
            raise ValueError(
                f"clear.below_probability ({below}) must not exceed min_probability "
                f"({self.min_probability})"
            )
        return self

    @property
    def cause_key(self) -> str:
        """The cause that the rule's signals have."""
        return self.cause or self.id


class RuleSetDocument(_Part):
    """A rule set."""

    version: Literal[1] = Field(description="Of the rule language.")
    name: Name = Field(description="What people call it.")
    phrases: Annotated[dict[Name, PhraseList], Field(max_length=MAX_PHRASE_LISTS)] = Field(
        {}, description="Lists of phrases by name and language, read as phrases.NAME."
    )
    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=MAX_RULES)] = Field(
        description="In order of importance: of rules that match together and are equally severe, "
        "the first speaks for its cause."
    )
