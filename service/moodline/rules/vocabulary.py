"""Every name that a condition may use, with its type and meaning; docs/rules.md is made from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from moodline.domain import EscalationLevel, Role, SentimentLabel, UrgencyLevel

MAX_WINDOW_TURNS: Final = 50
"""The most turns that a window reaches back, and thereby what a conversation keeps of its past."""

TAGS: Final = (
    *("sales_lead", "feature_request", "incident", "technical_problem", "billing", "delivery"),
    *("account", "complaint", "churn_risk", "praise", "repeat_contact", "human_request"),
    *("legal_threat", "fraud", "vulnerable", "abuse", "user_content", "resolved", "unresolved"),
)
"""Source: docs/labels.md, "Tags"."""
STAGES: Final = (
    *("none", "awareness", "consideration", "evaluation", "purchase", "onboarding", "usage"),
    *("support", "renewal", "advocacy"),
)
"""Source: docs/labels.md, "Stage"."""

ENUMS: Final = {
    "Role": {role.name: number for number, role in enumerate(Role)},
    # From -2 to 2, so that a rule may compare grades.
    "Sentiment": {label.name: number - 2 for number, label in enumerate(SentimentLabel)},
    "Urgency": {level.name: number for number, level in enumerate(UrgencyLevel)},
    "Escalation": {level.name: number for number, level in enumerate(EscalationLevel)},
    "Stage": {stage: number for number, stage in enumerate(STAGES)},
}
"""The value of each name, e.g. of `Urgency.HIGH`; graded ones rise from worst, or lowest, up."""


class Scope(StrEnum):
    """On which turns an expression is evaluated, which decides what it may read."""

    CUSTOMER = "customer"
    """Customer turns that have scores."""
    ANY = "any"
    """All turns, scored or not; nothing that only the model gives may be read."""


@dataclass(frozen=True, slots=True)
class Field:
    """A value that a condition may read.

    Attributes:
        name: Dotted, without the group's name, e.g. `sentiment.score`.
        type: `bool`, `int`, `double`, `string`, a name of `ENUMS`, or `list(...)` or `map(...)`.
        meaning: For docs/rules.md.
        is_optional: Whether it may be unknown; a condition that needs it is then false.
    """

    name: str
    type: str
    meaning: str
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function that a condition may call.

    Attributes:
        name: As it is written.
        parameters: Types of the arguments; for a member, without the value that it is called on.
        result: Type of what it gives.
        meaning: For docs/rules.md.
        member_of: The type that it is called on; empty for a plain function.
        reads_conversation: Whether it needs more than its arguments.
    """

    name: str
    parameters: tuple[str, ...]
    result: str
    meaning: str
    member_of: str = ""
    reads_conversation: bool = True

    @property
    def overload_id(self) -> str:
        """Unique among all functions."""
        return "_".join((self.member_of, self.name, *self.parameters)).strip("_")


TURN_FIELDS: Final = (
    Field("index", "int", "Index among all turns, from 0."),
    Field("role", "Role", "Who speaks."),
    Field("language", "string", "BCP-47 tag of the conversation so far; `und` while unknown."),
    Field("word_count", "int", "Words of the turn, split at white space."),
    Field("start_s", "double", "Start since the beginning of the conversation.", True),
    Field(
        "silence_s",
        "double",
        "From the end (or start) of the turn before to this start; 0 where they overlap.",
        True,
    ),
    Field(
        "response_s",
        "double",
        "On the first turn after the other side spoke: from the end of their first unanswered turn "
        "to this start. Customers are one side, agents and bots the other.",
        True,
    ),
)
TEXT_FIELD: Final = Field(
    "text", "string", "The words as they came; of the current turn only, not in windows."
)

SCORE_FIELDS: Final = (
    Field("sentiment.label", "Sentiment", "The most probable grade."),
    Field("sentiment.score", "double", "Expected grade divided by 2, in -1..1."),
    *(
        Field(f"sentiment.probability.{label.name.lower()}", "double", f"Of `{label.name}`.")
        for label in SentimentLabel
    ),
    Field("urgency.level", "Urgency", "The most probable level."),
    Field("urgency.score", "double", "Expected level divided by 3, in 0..1."),
    *(
        Field(f"urgency.probability.{level.name.lower()}", "double", f"Of `{level.name}`.")
        for level in UrgencyLevel
    ),
    Field("stage.name", "Stage", "The most probable journey stage; `Stage.none` if nothing tells."),
    Field("stage.probability", "double", "Of that stage."),
    Field("escalation.level", "Escalation", "By the thresholds of the model's artifact."),
    Field("escalation.probability", "double", "Of `ESCALATE`."),
    Field("escalation.watch_probability", "double", "Of `WATCH` or `ESCALATE`."),
    Field(
        "escalation.early_warning",
        "double",
        "That `ESCALATE` comes to hold within the customer's next three turns; unknown where it "
        "holds already.",
        True,
    ),
    Field("expected_csat", "double", "CSAT if the contact ended here, in 1..5."),
    *(Field(f"tags.{tag}", "double", f"Probability of `{tag}`.") for tag in TAGS),
    *(
        Field(f"tagged.{tag}", "bool", f"Whether `{tag}` holds by the artifact's threshold.")
        for tag in TAGS
    ),
)

CONVERSATION_FIELDS: Final = (
    Field("turn_count", "int", "Turns so far, this one included."),
    Field("customer_turn_count", "int", "Turns of customers."),
    Field("agent_turn_count", "int", "Turns of agents."),
    Field("bot_turn_count", "int", "Turns of bots."),
    Field("sentiment_mean", "double", "Mean score of the customer turns so far.", True),
    Field("sentiment_min", "double", "The lowest of these scores.", True),
    Field(
        "sentiment_change",
        "double",
        "Rise of the least-squares line over these scores (docs/scores.md, Trend); from three on.",
        True,
    ),
    Field("urgency_peak", "Urgency", "The highest level so far; `LOW` before the first."),
    Field("escalation_peak", "Escalation", "The highest level so far; `NONE` before the first."),
    Field("stage", "Stage", "The last stage that was not `none`."),
    Field("previous_stage", "Stage", "The stage before that; `none` if there was no other."),
    Field("stages", "list(Stage)", "The different stages so far, in the order of their start."),
    Field("is_stage_changed", "bool", "Whether this turn began another stage than the one before."),
    Field(
        "is_stage_regressed",
        "bool",
        "Whether that is a step back on the journey (Stages, below).",
    ),
    Field("elapsed_s", "double", "From the start of the first timed turn to that of this.", True),
    Field("channel", "string", "As the caller gave it, e.g. `chat`; empty if unknown."),
    Field(
        "attributes",
        "map(string,string)",
        "What the caller gave of the conversation; a condition that reads a missing one is false.",
    ),
)

CUSTOMER_FIELDS: Final = (
    Field("is_known", "bool", "Whether anything is known of the customer's past."),
    Field("contact_count", "int", "Earlier contacts; 0 if unknown."),
    Field("last_contact_days", "double", "Days since the last of them.", True),
    Field("last_outcome", "string", "How it ended, e.g. `unresolved`; empty if unknown."),
    Field("open_signal_count", "int", "Signals of earlier contacts that are still open."),
    Field("open_causes", "list(string)", "Their causes."),
)

_CUSTOMER_TURNS: Final = "list(CustomerTurn)"
_TURNS: Final = "list(Turn)"
WINDOW_FUNCTIONS: Final = ("last", "first", "last_turns", "first_turns")
"""Their first argument is a number of turns, written out, from 1 to `MAX_WINDOW_TURNS`."""
PHRASE_FUNCTIONS: Final = ("phrase", "says")
"""Their argument is a phrase, written out, or `phrases.NAME`."""

FUNCTIONS: Final = (
    Function(
        "last", ("int",), _CUSTOMER_TURNS, "The last n scored customer turns, this one included."
    ),
    Function("first", ("int",), _CUSTOMER_TURNS, "The first n scored customer turns."),
    *(
        Function(
            "within_s",
            (number,),
            _CUSTOMER_TURNS,
            "Of the last 50, those scored customer turns that began at most so many seconds "
            "before this turn did; unknown without times.",
        )
        for number in ("double", "int")
    ),
    Function("last_turns", ("int",), _TURNS, "The last n turns of all, this one included."),
    Function("last_turns", ("int", "Role"), _TURNS, "The last n turns of a role."),
    Function("first_turns", ("int",), _TURNS, "The first n turns of all."),
    Function("first_turns", ("int", "Role"), _TURNS, "The first n turns of a role."),
    *(
        Function(
            "turns_within_s",
            parameters,
            _TURNS,
            "As `within_s`, over the turns of all or of a role.",
        )
        for number in ("double", "int")
        for parameters in ((number,), (number, "Role"))
    ),
    Function("phrase", ("string",), "bool", "Whether this turn says the phrase or one of a list."),
    *(
        Function(
            "says",
            ("string",),
            "bool",
            "The same of any turn, e.g. `last_turns(5, Role.AGENT).exists(t, t.says('refund*'))`.",
            member_of=kind,
        )
        for kind in ("CustomerTurn", "Turn")
    ),
    *(
        Function(
            "contacts_within_days",
            (number,),
            "int",
            "Earlier contacts that began at most so many days before this one.",
        )
        for number in ("double", "int")
    ),
    Function(
        "mean", ("list(double)",), "double", "Unknown for an empty list.", reads_conversation=False
    ),
    Function(
        "lowest",
        ("list(double)",),
        "double",
        "Unknown for an empty list.",
        reads_conversation=False,
    ),
    Function(
        "highest",
        ("list(double)",),
        "double",
        "Unknown for an empty list.",
        reads_conversation=False,
    ),
    Function(
        "streak",
        ("list(bool)",),
        "int",
        "How many of the last values are true without a break.",
        reads_conversation=False,
    ),
)


def turn_fields(scope: Scope) -> tuple[Field, ...]:
    """Return what `turn` holds, the text left out."""
    return (*TURN_FIELDS, *SCORE_FIELDS) if scope is Scope.CUSTOMER else TURN_FIELDS


def variables(scope: Scope, phrase_names: Iterable[str]) -> dict[str, str]:
    """Return the type of every variable by its full name, e.g. `turn.sentiment.score`.

    Args:
        scope: Which turns are read.
        phrase_names: The names of the lists under `phrases`.
    """
    groups = {
        "turn": (*turn_fields(scope), TEXT_FIELD),
        "conversation": CONVERSATION_FIELDS,
        "customer": CUSTOMER_FIELDS,
    }
    return {
        f"{group}.{field.name}": field.type for group, fields in groups.items() for field in fields
    } | {f"phrases.{name}": "string" for name in phrase_names}
