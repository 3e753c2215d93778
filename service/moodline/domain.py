"""The nouns of moodline as frozen values; imports nothing of ours.

Label names are those of the API (docs/labels.md). Offsets into text count Unicode code points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """Who speaks. A bot is read by the model as an agent."""

    CUSTOMER = "customer"
    AGENT = "agent"
    BOT = "bot"


class SentimentLabel(StrEnum):
    """Five grades of what the customer feels, from worst to best."""

    VERY_NEGATIVE = "VERY_NEGATIVE"
    NEGATIVE = "NEGATIVE"
    NEUTRAL = "NEUTRAL"
    POSITIVE = "POSITIVE"
    VERY_POSITIVE = "VERY_POSITIVE"


class UrgencyLevel(StrEnum):
    """How soon somebody must act, apart from tone, rising."""

    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class EscalationLevel(StrEnum):
    """Whether somebody must step in, rising."""

    NONE = "NONE"
    WATCH = "WATCH"
    ESCALATE = "ESCALATE"


class Absence(StrEnum):
    """Why a score is not given; given instead of an invented neutral."""

    INSUFFICIENT_TURNS = "INSUFFICIENT_TURNS"
    UNSUPPORTED_LANGUAGE = "UNSUPPORTED_LANGUAGE"
    NOT_CUSTOMER = "NOT_CUSTOMER"


class WarningCode(StrEnum):
    """Something the reader of a result should know; the result itself stands."""

    ROLE_UNCERTAIN = "ROLE_UNCERTAIN"
    UNMEASURED_LANGUAGE = "UNMEASURED_LANGUAGE"
    UNSUPPORTED_LANGUAGE = "UNSUPPORTED_LANGUAGE"
    INSUFFICIENT_TURNS = "INSUFFICIENT_TURNS"
    TURNS_OUT_OF_TIME_ORDER = "TURNS_OUT_OF_TIME_ORDER"
    CUSTOMER_PAST_UNKNOWN = "CUSTOMER_PAST_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Turn:
    """One uninterrupted utterance of one participant.

    Attributes:
        role: Who speaks.
        text: What was said, as it came; never changed by moodline.
        turn_id: The caller's id, unique in the conversation; empty if the caller has none.
        participant_id: Who exactly speaks, where several share a role; empty for the role itself.
        start_ms: Start since the beginning of the conversation, in milliseconds, if known.
        end_ms: End since the beginning of the conversation, in milliseconds, if known.
    """

    role: Role
    text: str
    turn_id: str = ""
    participant_id: str = ""
    start_ms: int | None = None
    end_ms: int | None = None

    @property
    def participant(self) -> str:
        """The participant's id, or the role's name where the caller gave none."""
        return self.participant_id or self.role.value


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns of a customer and of those who serve them, in order.

    Attributes:
        conversation_id: The caller's id.
        turns: All turns in the order in which they were spoken.
        channel: E.g. `chat`, `call`, `email`, `social`; empty if unknown.
        language: BCP-47 tag declared by the caller; empty to detect it.
        customer_id: The caller's id of the customer; empty if unknown.
        attributes: What else the caller gave of it, for rules to look at.
    """

    conversation_id: str
    turns: tuple[Turn, ...]
    channel: str = ""
    language: str = ""
    customer_id: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sentiment:
    """Sentiment of a turn.

    Attributes:
        label: The most probable grade.
        score: Expected grade divided by 2, in [-1, 1].
        probabilities: Calibrated probability of each grade, summing to 1.
    """

    label: SentimentLabel
    score: float
    probabilities: Mapping[SentimentLabel, float]


@dataclass(frozen=True, slots=True)
class Urgency:
    """Urgency of a turn: the most probable level and the probability of each level."""

    level: UrgencyLevel
    probabilities: Mapping[UrgencyLevel, float]


@dataclass(frozen=True, slots=True)
class NamedProbability:
    """A stage or tag with its calibrated probability in [0, 1]."""

    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Escalation:
    """Whether somebody must step in, as it stands after a turn.

    Attributes:
        level: The level chosen by the thresholds of the artifact.
        probability: Calibrated probability that the level ESCALATE holds, in [0, 1].
        probabilities: Probability of each level, summing to 1.
        early_warning: Calibrated probability, in [0, 1], that ESCALATE comes to hold within the
            next three customer turns; None where the level is ESCALATE already.
    """

    level: EscalationLevel
    probability: float
    probabilities: Mapping[EscalationLevel, float]
    early_warning: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The words a result rests on.

    Attributes:
        start: First code point of the span in the turn's text.
        end: One past the last code point.
        text: The quoted words, `turn.text[start:end]`.
        aspect: Which result it explains: `sentiment`, `urgency`, `stage` or `escalation`.
        weight: Share of the aspect's evidence that falls on the span, in (0, 1].
    """

    start: int
    end: int
    text: str
    aspect: str
    weight: float


@dataclass(frozen=True, slots=True)
class TurnScores:
    """What the model says of one customer turn, given it and the turns before it.

    Attributes:
        tags: The tags that hold by the thresholds of the artifact, the most probable first.
        expected_csat: CSAT that this customer would give if the contact ended here, in [1, 5].
        tag_probabilities: Calibrated probability of every tag, whether it holds or not, in [0, 1].
    """

    sentiment: Sentiment
    urgency: Urgency
    stage: NamedProbability
    tags: tuple[NamedProbability, ...]
    escalation: Escalation
    expected_csat: float
    evidence: tuple[Evidence, ...]
    tag_probabilities: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TurnResult:
    """The result for one turn: scores, or the reason why there are none.

    Attributes:
        language: Language of the conversation as known after this turn: BCP-47 tag, `und` while
            unknown.
    """

    turn_index: int
    turn: Turn
    scores: TurnScores | None
    absence: Absence | None = None
    language: str = "und"


class Trend(StrEnum):
    """Where sentiment is going over the customer's turns."""

    IMPROVING = "IMPROVING"
    SLIGHTLY_IMPROVING = "SLIGHTLY_IMPROVING"
    STABLE = "STABLE"
    SLIGHTLY_DECLINING = "SLIGHTLY_DECLINING"
    DECLINING = "DECLINING"


@dataclass(frozen=True, slots=True)
class SentimentScales:
    """One sentiment score rendered on four scales; linear, all say the same."""

    minus5_to_5: float
    minus100_to_100: float
    zero_to_100: float
    minus1_to_1: float


@dataclass(frozen=True, slots=True)
class SentimentTrend:
    """Where sentiment is going, or the reason why that cannot be told.

    Attributes:
        label: The direction; None if `absence` is set.
        customer_turn_count: The scored customer turns that it rests on, 0 or more.
        absence: INSUFFICIENT_TURNS where too few customer turns tell a trend.
    """

    label: Trend | None
    customer_turn_count: int
    absence: Absence | None = None


@dataclass(frozen=True, slots=True)
class QuarterSentiment:
    """Mean sentiment of one quarter of the customer's turns, in [-1, 1].

    Attributes:
        customer_turn_count: The scored customer turns in the quarter, 0 or more.
        score: Their mean; None if `absence` is set.
        absence: INSUFFICIENT_TURNS where the quarter holds no customer turn.
    """

    customer_turn_count: int
    score: float | None
    absence: Absence | None = None


@dataclass(frozen=True, slots=True)
class RollupSentiment:
    """Sentiment over several customer turns: of a conversation or of one participant.

    Attributes:
        label: Grade of the score.
        score: Mean over the customer turns, in [-1, 1].
        trend: Where it is going.
        begin_score: Sentiment at the beginning, in [-1, 1]; None under 2 customer turns.
        end_score: Sentiment at the end, in [-1, 1]; None under 2 customer turns.
        quarters: The four quarters in order.
        scales: The score on other scales.
        customer_turn_count: The scored customer turns that all of this rests on, 1 or more.
    """

    label: SentimentLabel
    score: float
    trend: SentimentTrend
    begin_score: float | None
    end_score: float | None
    quarters: tuple[QuarterSentiment, QuarterSentiment, QuarterSentiment, QuarterSentiment]
    scales: SentimentScales
    customer_turn_count: int


@dataclass(frozen=True, slots=True)
class RollupUrgency:
    """Urgency of a conversation.

    Attributes:
        end: Urgency of the last scored customer turn.
        peak: Urgency of the most urgent turn: the highest level, of equals the most probable.
        peak_turn_index: That turn, of equals the first.
    """

    end: Urgency
    peak: Urgency
    peak_turn_index: int


@dataclass(frozen=True, slots=True)
class StageEntry:
    """The beginning of a stretch of turns in one stage."""

    name: str
    turn_index: int


@dataclass(frozen=True, slots=True)
class RollupStage:
    """Journey stage of a conversation: where it ends and the way there, `none` left out."""

    end: NamedProbability
    stage_path: tuple[StageEntry, ...]


@dataclass(frozen=True, slots=True)
class RollupEscalation:
    """Escalation of a conversation.

    Attributes:
        end: Escalation as it stands after the last scored customer turn.
        peak_level: The highest level that stood after any turn.
        peak_probability: The highest probability of ESCALATE after any turn, in [0, 1].
        first_turn_index: The first turn after which `peak_level` stood; None if that is NONE.
    """

    end: Escalation
    peak_level: EscalationLevel
    peak_probability: float
    first_turn_index: int | None


@dataclass(frozen=True, slots=True)
class RollupTag:
    """A tag over a conversation: its highest probability and the first turn that carries it."""

    name: str
    probability: float
    first_turn_index: int


@dataclass(frozen=True, slots=True)
class ParticipantRollup:
    """One participant's part in a conversation.

    Attributes:
        participant_id: The participant's id, or the role's name where the caller gave none.
        word_count: Words, split at white space.
        char_count: Unicode code points.
        sentiment: None if `absence` is set.
        absence: NOT_CUSTOMER, or the absence of the customer's turns where none is scored.
    """

    participant_id: str
    role: Role
    turn_count: int
    word_count: int
    char_count: int
    sentiment: RollupSentiment | None
    absence: Absence | None = None


@dataclass(frozen=True, slots=True)
class ConversationState:
    """How a conversation stands after a turn: the part of the roll-up that moves.

    Attributes:
        turn_count: Turns so far.
        customer_turn_count: Customer turns so far, scored or not.
        sentiment_score: Mean sentiment so far, in [-1, 1]; None before the first scored turn.
        trend: The trend so far.
        escalation: Escalation as it stands now; None before the first scored turn.
    """

    turn_count: int
    customer_turn_count: int
    sentiment_score: float | None
    trend: SentimentTrend
    escalation: RollupEscalation | None


@dataclass(frozen=True, slots=True)
class ConversationRollup:
    """The roll-up over all turns of a conversation (docs/scores.md).

    Attributes:
        tags: Every tag that some turn carries, the most probable first.
        participants: In the order of their first turns.
        absence: Why there are no scores: INSUFFICIENT_TURNS or UNSUPPORTED_LANGUAGE. If set,
            sentiment, urgency, stage, escalation and expected CSAT are None; else none of them is.
    """

    sentiment: RollupSentiment | None
    urgency: RollupUrgency | None
    stage: RollupStage | None
    escalation: RollupEscalation | None
    expected_csat: float | None
    tags: tuple[RollupTag, ...]
    participants: tuple[ParticipantRollup, ...]
    absence: Absence | None = None


@dataclass(frozen=True, slots=True)
class AnalysisWarning:
    """Something that the reader of a result should know.

    Attributes:
        message: The same as the code, for people; never customer text.
        turn_index: The turn that it is about; None if it is about the conversation.
    """

    code: WarningCode
    message: str
    turn_index: int | None = None


@dataclass(frozen=True, slots=True)
class ConversationAnalysis:
    """The result for one conversation.

    Attributes:
        turns: One result a turn; empty in the summary of a stream.
        rollup: The roll-up over all turns.
        model_version: Name and version of the artifact.
        configuration_digest: Digest of everything that decides a result besides the input.
        language: BCP-47 tag, declared or detected; `und` if unknown.
        is_language_measured: Whether the model's quality in it is measured and published.
    """

    conversation_id: str
    turns: tuple[TurnResult, ...]
    rollup: ConversationRollup
    model_version: str
    configuration_digest: str
    language: str
    is_language_measured: bool
    warnings: tuple[AnalysisWarning, ...]


@dataclass(frozen=True, slots=True)
class StreamedTurn:
    """The answer to one turn of a stream.

    Attributes:
        result: The turn's result; provisional unless `is_final`.
        state: How the conversation stands, this turn included.
        warnings: What this turn newly gives to know.
    """

    result: TurnResult
    is_final: bool
    state: ConversationState
    warnings: tuple[AnalysisWarning, ...]


@dataclass(frozen=True, slots=True)
class DuplicateTurn:
    """A final turn came again with the same content; it was not computed again."""

    turn_id: str
    turn_index: int
