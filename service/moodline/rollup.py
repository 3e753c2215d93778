"""From the results of single turns to the roll-up of a conversation, one turn at a time.

Pure arithmetic, published in docs/scores.md. The unary call and the stream both feed the same
`RollupAccumulator`, so the same turns give the same numbers however they arrive.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from moodline.domain import (
    Absence,
    ConversationRollup,
    ConversationState,
    Escalation,
    EscalationLevel,
    NamedProbability,
    ParticipantRollup,
    QuarterSentiment,
    Role,
    RollupEscalation,
    RollupSentiment,
    RollupStage,
    RollupTag,
    RollupUrgency,
    SentimentLabel,
    SentimentScales,
    SentimentTrend,
    StageEntry,
    Trend,
    TurnResult,
    TurnScores,
    Urgency,
    UrgencyLevel,
)

# Source of the constants: docs/scores.md, "Constants".
MIN_TREND_TURN_COUNT: Final = 3
MIN_BEGIN_END_TURN_COUNT: Final = 2
MAX_BEGIN_END_TURN_COUNT: Final = 3
QUARTER_COUNT: Final = 4
SLIGHT_TREND_CHANGE: Final = 0.2
CLEAR_TREND_CHANGE: Final = 0.5
NEUTRAL_BAND: Final = 0.2
STRONG_SENTIMENT: Final = 0.6
NO_STAGE: Final = "none"

_URGENCY_RANK: Final = {level: rank for rank, level in enumerate(UrgencyLevel)}
_ESCALATION_RANK: Final = {level: rank for rank, level in enumerate(EscalationLevel)}


def sentiment_label(score: float) -> SentimentLabel:
    """Return the grade of a score that was averaged over turns: one of five equal bands.

    Args:
        score: In [-1, 1].

    Source: docs/scores.md, "Label".
    """
    if abs(score) <= NEUTRAL_BAND:
        return SentimentLabel.NEUTRAL
    is_strong = abs(score) > STRONG_SENTIMENT
    if score > 0:
        return SentimentLabel.VERY_POSITIVE if is_strong else SentimentLabel.POSITIVE
    return SentimentLabel.VERY_NEGATIVE if is_strong else SentimentLabel.NEGATIVE


def sentiment_scales(score: float) -> SentimentScales:
    """Render a score in [-1, 1] on the scales that people migrate from.

    Source: docs/scores.md, "Scales".
    """
    return SentimentScales(
        minus5_to_5=5 * score,
        minus100_to_100=100 * score,
        zero_to_100=50 * (score + 1),
        minus1_to_1=score,
    )


@dataclass(frozen=True, slots=True)
class ScoreSums:
    """What mean and trend need of the scores so far, whatever their number.

    Attributes:
        count: Number of scores, n.
        total: Sum of the scores.
        indexed_total: Sum of j x score j, with j from 0.
    """

    count: int = 0
    total: float = 0.0
    indexed_total: float = 0.0

    def after(self, score: float) -> ScoreSums:
        """Return the sums with one more score."""
        return ScoreSums(
            self.count + 1, self.total + score, self.indexed_total + self.count * score
        )

    def mean(self) -> float:
        """Return the mean of one or more scores."""
        return self.total / self.count

    def change(self) -> float | None:
        """Return the rise of the least-squares line from the first score to the last.

        None below `MIN_TREND_TURN_COUNT` scores.

        Source: docs/scores.md, "Trend".
        """
        n = self.count
        if n < MIN_TREND_TURN_COUNT:
            return None
        slope = 12 * (self.indexed_total - (n - 1) / 2 * self.total) / (n * (n * n - 1))
        return slope * (n - 1)

    def trend(self) -> SentimentTrend:
        """Label the change from the first customer turn to the last."""
        n, change = self.count, self.change()
        if change is None:
            return SentimentTrend(None, n, Absence.INSUFFICIENT_TURNS)
        if abs(change) < SLIGHT_TREND_CHANGE:
            label = Trend.STABLE
        elif abs(change) < CLEAR_TREND_CHANGE:
            label = Trend.SLIGHTLY_IMPROVING if change > 0 else Trend.SLIGHTLY_DECLINING
        else:
            label = Trend.IMPROVING if change > 0 else Trend.DECLINING
        return SentimentTrend(label, n)


@dataclass(frozen=True, slots=True)
class _Running:
    """Everything that `ConversationState` is made of; constant in size."""

    turn_count: int = 0
    customer_turn_count: int = 0
    sums: ScoreSums = field(default_factory=ScoreSums)
    escalation: RollupEscalation | None = None

    def after(self, result: TurnResult) -> _Running:
        is_customer = result.turn.role is Role.CUSTOMER
        counted = replace(
            self,
            turn_count=self.turn_count + 1,
            customer_turn_count=self.customer_turn_count + is_customer,
        )
        if result.scores is None:
            return counted
        return replace(
            counted,
            sums=self.sums.after(result.scores.sentiment.score),
            escalation=_escalation_after(
                self.escalation, result.scores.escalation, result.turn_index
            ),
        )

    def state(self) -> ConversationState:
        return ConversationState(
            turn_count=self.turn_count,
            customer_turn_count=self.customer_turn_count,
            sentiment_score=self.sums.mean() if self.sums.count else None,
            trend=self.sums.trend(),
            escalation=self.escalation,
        )


@dataclass(slots=True)
class _ParticipantTally:
    """Running counts of one participant; eight bytes a scored turn for the scores."""

    participant_id: str
    role: Role
    turn_count: int = 0
    word_count: int = 0
    char_count: int = 0
    sums: ScoreSums = field(default_factory=ScoreSums)
    scores: array[float] = field(default_factory=lambda: array("d"))
    absence: Absence | None = None

    def add(self, result: TurnResult) -> None:
        self.turn_count += 1
        self.word_count += len(result.turn.text.split())
        self.char_count += len(result.turn.text)
        if result.scores is None:
            self.absence = result.absence
        else:
            self.sums = self.sums.after(result.scores.sentiment.score)
            self.scores.append(result.scores.sentiment.score)

    def rollup(self) -> ParticipantRollup:
        is_scored = self.sums.count > 0
        return ParticipantRollup(
            participant_id=self.participant_id,
            role=self.role,
            turn_count=self.turn_count,
            word_count=self.word_count,
            char_count=self.char_count,
            sentiment=_sentiment(self.sums, self.scores) if is_scored else None,
            absence=None if is_scored else self.absence,
        )


class RollupAccumulator:
    """Reads the turn results of one conversation in order and rolls them up at any time.

    Keeps counts, one double for every scored customer turn and one entry for every change of
    stage, not the results. `add`, `state` and `state_with` take the same time however long the
    conversation is; `rollup` takes time linear in the customer turns and is meant for the end.
    """

    def __init__(self) -> None:
        self._running = _Running()
        self._scores: array[float] = array("d")
        self._participants: dict[tuple[str, Role], _ParticipantTally] = {}
        self._urgency: RollupUrgency | None = None
        self._stage: NamedProbability | None = None
        self._stage_path: list[StageEntry] = []
        self._tags: dict[str, RollupTag] = {}
        self._expected_csat: float | None = None
        self._absence = Absence.INSUFFICIENT_TURNS

    def add(self, result: TurnResult) -> None:
        """Take the result of the next final turn."""
        self._running = self._running.after(result)
        turn = result.turn
        key = (turn.participant, turn.role)
        if key not in self._participants:
            self._participants[key] = _ParticipantTally(*key)
        self._participants[key].add(result)
        if result.scores is not None:
            self._add_scores(result.turn_index, result.scores)
        elif result.absence is Absence.UNSUPPORTED_LANGUAGE:
            self._absence = Absence.UNSUPPORTED_LANGUAGE

    def state(self) -> ConversationState:
        """Return how the conversation stands after the turns added so far."""
        return self._running.state()

    def state_with(self, result: TurnResult) -> ConversationState:
        """Return how it would stand if `result` were added, without adding it."""
        return self._running.after(result).state()

    def rollup(self) -> ConversationRollup:
        """Return the roll-up over the turns added so far."""
        sums = self._running.sums
        is_scored = sums.count > 0
        return ConversationRollup(
            sentiment=_sentiment(sums, self._scores) if is_scored else None,
            urgency=self._urgency,
            stage=RollupStage(self._stage, tuple(self._stage_path)) if self._stage else None,
            escalation=self._running.escalation,
            expected_csat=self._expected_csat,
            tags=tuple(sorted(self._tags.values(), key=lambda tag: (-tag.probability, tag.name))),
            participants=tuple(tally.rollup() for tally in self._participants.values()),
            absence=None if is_scored else self._absence,
        )

    def _add_scores(self, turn_index: int, scores: TurnScores) -> None:
        self._scores.append(scores.sentiment.score)
        self._urgency = _urgency_after(self._urgency, scores.urgency, turn_index)
        self._expected_csat = scores.expected_csat
        self._add_stage(turn_index, scores.stage)
        for tag in scores.tags:
            known = self._tags.get(tag.name, RollupTag(tag.name, tag.probability, turn_index))
            self._tags[tag.name] = replace(
                known, probability=max(known.probability, tag.probability)
            )

    def _add_stage(self, turn_index: int, stage: NamedProbability) -> None:
        if stage.name == NO_STAGE:
            # A turn that tells no stage leaves the known one standing.
            if not self._stage_path:
                self._stage = stage
            return
        if not self._stage_path or self._stage_path[-1].name != stage.name:
            self._stage_path.append(StageEntry(stage.name, turn_index))
        self._stage = stage


def _sentiment(sums: ScoreSums, scores: Sequence[float]) -> RollupSentiment:
    """Roll up one or more scores.

    Source: docs/scores.md, "Sentiment".
    """
    n = sums.count
    begin_score: float | None = None
    end_score: float | None = None
    if n >= MIN_BEGIN_END_TURN_COUNT:
        # At most half of the turns each, so that begin and end never share a turn.
        k = min(MAX_BEGIN_END_TURN_COUNT, n // 2)
        begin_score = math.fsum(scores[:k]) / k
        end_score = math.fsum(w * s for w, s in enumerate(scores[-k:], 1)) / (k * (k + 1) / 2)
    score = sums.mean()
    first, second, third, fourth = (_quarter(scores, q) for q in range(QUARTER_COUNT))
    return RollupSentiment(
        label=sentiment_label(score),
        score=score,
        trend=sums.trend(),
        begin_score=begin_score,
        end_score=end_score,
        quarters=(first, second, third, fourth),
        scales=sentiment_scales(score),
        customer_turn_count=n,
    )


def _quarter(scores: Sequence[float], quarter: int) -> QuarterSentiment:
    """Return quarter 0..3: the customer turns j of n with floor(4j / n) equal to it."""
    n = len(scores)
    # First j with 4j / n >= quarter is ceil(quarter x n / 4), written for integers.
    start, stop = (-(-q * n // QUARTER_COUNT) for q in (quarter, quarter + 1))
    count = stop - start
    if count == 0:
        return QuarterSentiment(0, None, Absence.INSUFFICIENT_TURNS)
    return QuarterSentiment(count, math.fsum(scores[start:stop]) / count)


def _urgency_after(known: RollupUrgency | None, urgency: Urgency, turn_index: int) -> RollupUrgency:
    if known is None or _urgency_order(urgency) > _urgency_order(known.peak):
        return RollupUrgency(end=urgency, peak=urgency, peak_turn_index=turn_index)
    return replace(known, end=urgency)


def _urgency_order(urgency: Urgency) -> tuple[int, float]:
    return _URGENCY_RANK[urgency.level], urgency.probabilities[urgency.level]


def _escalation_after(
    known: RollupEscalation | None, escalation: Escalation, turn_index: int
) -> RollupEscalation:
    level = escalation.level
    first_turn_index = None if level is EscalationLevel.NONE else turn_index
    if known is None:
        return RollupEscalation(escalation, level, escalation.probability, first_turn_index)
    peak_probability = max(known.peak_probability, escalation.probability)
    if _ESCALATION_RANK[level] > _ESCALATION_RANK[known.peak_level]:
        return RollupEscalation(escalation, level, peak_probability, first_turn_index)
    return replace(known, end=escalation, peak_probability=peak_probability)
