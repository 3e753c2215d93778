"""Adds results up in one pass; what is kept does not grow with their number.

Turns of a conversation are its scored customer turns. A share or mean over conversations gives each
the same weight, however long it is.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from moodline.domain import EscalationLevel, SentimentLabel, UrgencyLevel
from moodline.reports.results import (
    Entry,
    FailedItem,
    Rollup,
    ScoredConversation,
    ScoredTurn,
)
from moodline.rollup import MIN_BEGIN_END_TURN_COUNT, MIN_TREND_TURN_COUNT

TENTH_COUNT: Final = 10
MAX_GROUPS: Final = 200
"""Channels or languages told apart; those that come first, for a caller may send any number."""
MAX_TOLD_FAILURES: Final = 10
MAX_TOLD_NAMES: Final = 12

_NEGATIVE: Final = frozenset({SentimentLabel.NEGATIVE, SentimentLabel.VERY_NEGATIVE})
_URGENT: Final = frozenset({UrgencyLevel.HIGH, UrgencyLevel.CRITICAL})
_BIN_COUNT: Final = 400
"""Of mood, for quartiles: they are exact to half a bin, 0.0025."""


class ConversationOutcome(StrEnum):
    """How a conversation ended for the customer, by the last turn that tells it."""

    RESOLVED = "resolved"
    UNRESOLVED = "unresolved"
    NOT_TOLD = "not told"


def outcome_of(turns: Sequence[ScoredTurn]) -> ConversationOutcome:
    """Return what the last turn tells that carries a tag for it; of two tags the more probable."""
    for turn in reversed(turns):
        for tag in turn.tags:
            if tag in (ConversationOutcome.RESOLVED, ConversationOutcome.UNRESOLVED):
                return ConversationOutcome(tag)
    return ConversationOutcome.NOT_TOLD


def mood_by_tenth(scores: Sequence[float]) -> list[float]:
    """Return the mood in each tenth of a conversation, from the first turn to the last.

    Turn j of n stands at j / (n - 1). A tenth has the mean of its turns, or the mood that stood
    before where it has none: so each conversation counts once in each tenth, and a mean over many
    never compares long ones with short ones.

    Args:
        scores: Of at least two turns.

    Source: docs/report.md, "Mood over the conversation".
    """
    tenths: list[list[float]] = [[] for _ in range(TENTH_COUNT)]
    for index, score in enumerate(scores):
        place = index * TENTH_COUNT // (len(scores) - 1)
        tenths[min(place, TENTH_COUNT - 1)].append(score)
    moods: list[float] = []
    for inside in tenths:
        moods.append(sum(inside) / len(inside) if inside else moods[-1])
    return moods


@dataclass(slots=True)
class Mean:
    """A mean and how many it rests on."""

    count: int = 0
    total: float = 0.0

    def add(self, amount: float | None) -> None:
        """Take one more; None counts for nothing."""
        if amount is not None:
            self.count += 1
            self.total += amount

    @property
    def value(self) -> float | None:
        """The mean; None of nothing."""
        return self.total / self.count if self.count else None


@dataclass(slots=True)
class MoodSpread:
    """Mean and quartiles of moods in [-1, 1]."""

    mean: Mean = field(default_factory=Mean)
    bins: list[int] = field(default_factory=lambda: [0] * _BIN_COUNT)

    def add(self, mood: float) -> None:
        """Take one more."""
        self.mean.add(mood)
        self.bins[min(int((mood + 1) / 2 * _BIN_COUNT), _BIN_COUNT - 1)] += 1

    def quantile(self, share: float) -> float | None:
        """Return the mood that a share of all do not exceed, to half a bin; None of nothing."""
        needed = share * self.mean.count
        if not self.mean.count:
            return None
        reached = itertools.accumulate(self.bins)
        index = next(index for index, count in enumerate(reached) if count and count >= needed)
        return (index + 0.5) * 2 / _BIN_COUNT - 1


@dataclass(slots=True)
class Group:
    """Figures of some conversations.

    Attributes:
        conversation_count: Analysed, with scores or without.
        scored_count: With scores.
        turn_count: Scored customer turns.
        mood: Of conversations.
        begin: As they begin, where they have two turns at least.
        end: As they end, likewise.
        csat: Expected.
        urgency_peaks: Highest urgency.
        urgency_ends: Urgency at the end.
        escalation_peaks: Highest escalation that ever stood.
        escalation_ends: Escalation at the end.
        outcomes: Of those with scores.
        is_measured: Whether the quality in their language is; None if it is not told.
    """

    conversation_count: int = 0
    scored_count: int = 0
    turn_count: int = 0
    mood: Mean = field(default_factory=Mean)
    begin: Mean = field(default_factory=Mean)
    end: Mean = field(default_factory=Mean)
    csat: Mean = field(default_factory=Mean)
    urgency_peaks: Counter[str] = field(default_factory=Counter)
    urgency_ends: Counter[str] = field(default_factory=Counter)
    escalation_peaks: Counter[str] = field(default_factory=Counter)
    escalation_ends: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    is_measured: bool | None = None

    def add(self, conversation: ScoredConversation, outcome: ConversationOutcome) -> None:
        """Take one more conversation."""
        self.conversation_count += 1
        self.is_measured = conversation.is_language_measured
        rollup = conversation.rollup
        if rollup is None:
            return
        self.scored_count += 1
        self.turn_count += len(conversation.turns)
        self.mood.add(rollup.score)
        if rollup.begin_score is not None and rollup.end_score is not None:
            self.begin.add(rollup.begin_score)
            self.end.add(rollup.end_score)
        self.csat.add(rollup.expected_csat)
        self.urgency_peaks[rollup.urgency_peak_level] += 1
        self.urgency_ends[rollup.urgency_level] += 1
        self.escalation_peaks[rollup.escalation_peak_level] += 1
        self.escalation_ends[rollup.escalation_level] += 1
        self.outcomes[outcome] += 1

    @property
    def urgent_count(self) -> int:
        """Conversations that were of high or critical urgency at some time."""
        return sum(self.urgency_peaks[level] for level in _URGENT)


@dataclass(slots=True)
class Groups:
    """Groups by name; when there are `MAX_GROUPS`, further ones are taken together."""

    by_name: dict[str, Group] = field(default_factory=dict)
    others: Group = field(default_factory=Group)

    def of(self, name: str) -> Group:
        """Return the group of a name."""
        if name in self.by_name:
            return self.by_name[name]
        if len(self.by_name) >= MAX_GROUPS:
            return self.others
        return self.by_name.setdefault(name, Group())

    def by_size(self) -> list[tuple[str, Group]]:
        """Return the groups that have a name of their own, the largest first."""
        return sorted(
            self.by_name.items(), key=lambda named: (-named[1].conversation_count, named[0])
        )


@dataclass(slots=True)
class TurnFigures:
    """Figures of some turns.

    Attributes:
        mood: Of all of them.
        negative_count: Those that are negative or very negative.
    """

    mood: Mean = field(default_factory=Mean)
    negative_count: int = 0

    def add(self, turn: ScoredTurn) -> None:
        """Take one more turn."""
        self.mood.add(turn.score)
        self.negative_count += turn.label in _NEGATIVE


@dataclass(slots=True)
class TagFigures:
    """Figures of a tag.

    Attributes:
        turns: That carry it.
        conversation_count: In which some turn does.
        escalated_count: Those of them that were escalated at some time.
    """

    turns: TurnFigures = field(default_factory=TurnFigures)
    conversation_count: int = 0
    escalated_count: int = 0


@dataclass(slots=True)
class StageFigures:
    """Figures of a stage.

    Attributes:
        turns: In it.
        conversation_count: That are in it at some time.
        begin_count: Whose path begins with it.
        end_count: Whose path ends with it.
    """

    turns: TurnFigures = field(default_factory=TurnFigures)
    conversation_count: int = 0
    begin_count: int = 0
    end_count: int = 0


@dataclass(frozen=True, slots=True)
class RankedConversation:
    """A conversation among the best or worst.

    Attributes:
        lowest: Its worst turn, of equal ones the first.
    """

    conversation: ScoredConversation
    rollup: Rollup
    lowest: ScoredTurn


class _Ranking:
    """The conversations of the highest ranks."""

    def __init__(self, max_count: int, sign: int) -> None:
        """Take how many to keep; sign 1 ranks the best first, -1 the worst."""
        self._max_count = max_count
        self._sign = sign
        self._seen_count = 0
        self._heap: list[tuple[float, int, RankedConversation]] = []

    def add(self, ranked: RankedConversation) -> None:
        # Of equal ones the first stays; their numbers spare the comparison of conversations.
        self._seen_count += 1
        entry = (self._sign * ranked.rollup.score, -self._seen_count, ranked)
        if len(self._heap) < self._max_count:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def ranked(self) -> list[RankedConversation]:
        return [one for *_, one in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


def _curve() -> list[MoodSpread]:
    return [MoodSpread() for _ in range(TENTH_COUNT)]


@dataclass(slots=True)
class Findings:
    """What a report tells.

    Attributes:
        total: Of all conversations that were selected.
        left_out_count: Analysed, but not selected.
        all_turn_count: Turns of everybody in what was selected.
        curves: Mood by tenth, by outcome; those of `MIN_TREND_TURN_COUNT` turns count.
        whole_curve: The same for all outcomes together.
        trends: Of the mood.
        transitions: From stage to stage, as paths go.
        pathless_count: Scored conversations in which nothing tells a stage.
        pains: Turns by stage and tag.
        ranked_count: Conversations that were ranked: with two turns at least.
        models: Versions and configuration digests of what was selected.
        signalled_count: Conversations with signals.
        is_signals_known: Whether any results can hold signals.
        warnings: Conversations by warning.
        is_warnings_known: Whether any results can hold warnings.
        absences: Conversations without scores, by reason.
        failures: Failed items by code.
        told_failures: The first of them.
        seen_channels: Some of those that there are, selected or not.
        seen_languages: Likewise.
    """

    total: Group = field(default_factory=Group)
    left_out_count: int = 0
    all_turn_count: int = 0
    by_channel: Groups = field(default_factory=Groups)
    by_language: Groups = field(default_factory=Groups)
    curves: dict[ConversationOutcome, list[MoodSpread]] = field(
        default_factory=lambda: {outcome: _curve() for outcome in ConversationOutcome}
    )
    whole_curve: list[MoodSpread] = field(default_factory=_curve)
    trends: Counter[str] = field(default_factory=Counter)
    stages: dict[str, StageFigures] = field(default_factory=dict)
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    pathless_count: int = 0
    tags: dict[str, TagFigures] = field(default_factory=dict)
    pains: dict[tuple[str, str], TurnFigures] = field(default_factory=dict)
    worst: list[RankedConversation] = field(default_factory=list)
    best: list[RankedConversation] = field(default_factory=list)
    ranked_count: int = 0
    models: Counter[tuple[str, str]] = field(default_factory=Counter)
    signals: Counter[tuple[str, str]] = field(default_factory=Counter)
    signalled_count: int = 0
    is_signals_known: bool = False
    warnings: Counter[str] = field(default_factory=Counter)
    is_warnings_known: bool = False
    absences: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    told_failures: list[FailedItem] = field(default_factory=list)
    seen_channels: set[str] = field(default_factory=set)
    seen_languages: set[str] = field(default_factory=set)

    @property
    def failed_count(self) -> int:
        """Items that could not be scored."""
        return self.failures.total()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which conversations to report on.

    Attributes:
        languages: BCP-47 tags in lower case; `en` stands for `en-GB`, too. Empty for all.
        channels: In lower case; empty for all.
    """

    languages: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()

    def holds(self, conversation: ScoredConversation) -> bool:
        """Tell whether a conversation is one of them."""
        return self._holds_language(conversation.language.casefold()) and (
            not self.channels or conversation.channel.casefold() in self.channels
        )

    def _holds_language(self, language: str) -> bool:
        return not self.languages or any(
            language == one or language.startswith(f"{one}-") for one in self.languages
        )


def find(entries: Iterable[Entry], *, selection: Selection, max_ranked: int) -> Findings:
    """Add results up.

    Args:
        entries: Taken one at a time.
        selection: Which conversations count; failed items always do.
        max_ranked: How many of the best and of the worst conversations to keep.
    """
    found = Findings()
    best, worst = _Ranking(max_ranked, 1), _Ranking(max_ranked, -1)
    for entry in entries:
        if isinstance(entry, FailedItem):
            found.failures[entry.code] += 1
            if len(found.told_failures) < MAX_TOLD_FAILURES:
                found.told_failures.append(entry)
            continue
        for names, name in (
            (found.seen_channels, entry.channel),
            (found.seen_languages, entry.language),
        ):
            if len(names) < MAX_TOLD_NAMES:
                names.add(name)
        if not selection.holds(entry):
            found.left_out_count += 1
            continue
        outcome = outcome_of(entry.turns)
        channel, language = found.by_channel.of(entry.channel), found.by_language.of(entry.language)
        for group in (found.total, channel, language):
            group.add(entry, outcome)
        _add_conversation(found, entry, outcome)
        for ranked in _rankable(entry):
            found.ranked_count += 1
            best.add(ranked)
            worst.add(ranked)
    found.best, found.worst = best.ranked(), worst.ranked()
    return found


def _rankable(conversation: ScoredConversation) -> Iterator[RankedConversation]:
    if conversation.rollup is not None and len(conversation.turns) >= MIN_BEGIN_END_TURN_COUNT:
        lowest = min(conversation.turns, key=lambda turn: turn.score)
        yield RankedConversation(conversation, conversation.rollup, lowest)


def _add_conversation(
    found: Findings, conversation: ScoredConversation, outcome: ConversationOutcome
) -> None:
    found.all_turn_count += conversation.turn_count
    found.models[conversation.model] += 1
    if conversation.warnings is not None:
        found.is_warnings_known = True
        found.warnings.update(set(conversation.warnings))
    if conversation.signals is not None:
        found.is_signals_known = True
        found.signalled_count += bool(conversation.signals)
        found.signals.update((one.reason, one.severity) for one in conversation.signals)
    rollup = conversation.rollup
    if rollup is None:
        found.absences[conversation.absence] += 1
        return
    if rollup.trend:
        found.trends[rollup.trend] += 1
    if len(conversation.turns) >= MIN_TREND_TURN_COUNT:
        moods = mood_by_tenth([turn.score for turn in conversation.turns])
        for curve in (found.curves[outcome], found.whole_curve):
            for spread, mood in zip(curve, moods, strict=True):
                spread.add(mood)
    _add_stages(found, conversation, rollup.stage_path)
    _add_tags(found, conversation, rollup)


def _add_stages(found: Findings, conversation: ScoredConversation, path: Sequence[str]) -> None:
    for turn in conversation.turns:
        _stage(found, turn.stage).turns.add(turn)
    found.transitions.update(itertools.pairwise(path))
    for name in set(path):
        _stage(found, name).conversation_count += 1
    if path:
        _stage(found, path[0]).begin_count += 1
        _stage(found, path[-1]).end_count += 1
    else:
        found.pathless_count += 1


def _stage(found: Findings, name: str) -> StageFigures:
    return found.stages.setdefault(name, StageFigures())


def _add_tags(found: Findings, conversation: ScoredConversation, rollup: Rollup) -> None:
    is_escalated = rollup.escalation_peak_level is EscalationLevel.ESCALATE
    for turn in conversation.turns:
        for tag in turn.tags:
            found.tags.setdefault(tag, TagFigures()).turns.add(turn)
            found.pains.setdefault((turn.stage, tag), TurnFigures()).add(turn)
    for tag in {tag for turn in conversation.turns for tag in turn.tags}:
        found.tags[tag].conversation_count += 1
        found.tags[tag].escalated_count += is_escalated
