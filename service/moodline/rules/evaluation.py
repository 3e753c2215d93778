"""Evaluates a rule set over a conversation, turn by turn.

The same for a live conversation and a stored one: what a turn gives depends on that turn and those
before it, and time is what the turns say, never the clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from moodline.domain import TurnResult
from moodline.rules.expressions import Bindings
from moodline.rules.history import ConversationContext, ConversationHistory, TurnRecord
from moodline.rules.model import MAX_EVIDENCE_TURNS, Rule
from moodline.rules.rule_set import CompiledRule, RuleGroup, RuleSet
from moodline.rules.vocabulary import Scope

PHRASE_ASPECT: Final = "phrase"
"""`Quote.aspect` of words that a rule looked for."""
MAX_QUOTES: Final = 5
MIN_CONTRIBUTION_RATIO: Final = 0.5
"""A turn contributes if its probability is at least this part of the highest."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """A turn's part in a match.

    Attributes:
        share: Its probability as a part of the sum over all contributing turns, in (0, 1].

    Source: docs/rules.md, "Contributions".
    """

    turn_index: int
    turn_id: str
    share: float


@dataclass(frozen=True, slots=True)
class Quote:
    """Words that a match rests on.

    Attributes:
        turn_index: The turn that they are from.
        turn_id: Its id; empty if it has none.
        start: First code point in the turn's text.
        end: One past the last.
        text: The words; customer text.
        aspect: Which result they explain, as `domain.Evidence.aspect`, or `PHRASE_ASPECT`.
    """

    turn_index: int
    turn_id: str
    start: int
    end: int
    text: str
    aspect: str


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """A rule holds at a turn.

    Attributes:
        rule: The rule.
        turn_index: The turn.
        turn_id: Its id; empty if it has none.
        probability: How probable the matter is, in [0, 1].
        contributions: In the order of the turns; shares sum to 1.
        quotes: At most `MAX_QUOTES`, in the order of the turns; empty where no words stand out.
    """

    rule: Rule
    turn_index: int
    turn_id: str
    probability: float
    contributions: tuple[Contribution, ...]
    quotes: tuple[Quote, ...]


class ConversationEvaluation:
    """A rule set over one conversation; its turns come one at a time, in order."""

    def __init__(self, rule_set: RuleSet, context: ConversationContext) -> None:
        """Made by `open_evaluation`."""
        self._rule_set = rule_set
        self._history = ConversationHistory(context, rule_set.messages)
        self._bound: dict[Scope, Bindings] = {}
        self._scored: deque[tuple[TurnRecord, Bindings]] = deque(maxlen=MAX_EVIDENCE_TURNS)
        # Rules that hold at the latest turn on which they were evaluated, and since how many.
        self._held_turns: dict[str, int] = {}
        self._order = {compiled.rule.id: i for i, compiled in enumerate(rule_set.rules)}

    def add(self, result: TurnResult) -> tuple[RuleMatch, ...]:
        """Take the result of the next final turn and return the rules that hold at it.

        Returns:
            In the order of the rule set. A rule with `hold_turns` is left out until it has held
            for so many turns.
        """
        values = self._history.add(result)
        self._rule_set.stand_at(self._history)
        groups = self._groups(result)
        self._bound = {
            scope: self._rule_set.bind(scope, values)
            for scope in dict.fromkeys(group.scope for group in groups)
        }
        if Scope.CUSTOMER in self._bound:
            self._scored.append((self._history.current, self._bound[Scope.CUSTOMER]))
        matches = [match for group in groups for match in self._matches(group, result)]
        return tuple(sorted(matches, key=lambda match: self._order[match.rule.id]))

    def is_clear(self, rule_id: str) -> bool | None:
        """Tell whether a rule that does not hold at the latest turn lets its signal go.

        Returns:
            None if the rule is not evaluated on such turns.
        """
        compiled = self._rule_set.rules[self._order[rule_id]]
        clear = compiled.rule.clear
        if all(compiled not in group.rules for group in self._groups(self._history.current.result)):
            return None
        if rule_id in self._held_turns:
            return False
        self._rule_set.stand_at(self._history)
        bindings = self._bound[compiled.scope]
        if compiled.clear_when is not None and compiled.clear_when.holds(bindings) is not True:
            return False
        if clear.below_probability is None:
            return True
        probability = compiled.probability.number(bindings)
        return probability is not None and probability < clear.below_probability

    def _groups(self, result: TurnResult) -> tuple[RuleGroup, ...]:
        return self._rule_set.groups(result.turn.role, is_scored=result.scores is not None)

    def _matches(self, group: RuleGroup, result: TurnResult) -> Iterator[RuleMatch]:
        bindings = self._bound[group.scope]
        if group.any_when.holds(bindings) is False:
            for compiled in group.rules:
                self._held_turns.pop(compiled.rule.id, None)
            return
        for compiled in group.rules:
            match = self._match(compiled, bindings, result)
            if match is not None:
                yield match

    def _match(
        self, compiled: CompiledRule, bindings: Bindings, result: TurnResult
    ) -> RuleMatch | None:
        rule = compiled.rule
        self._history.begin_condition()
        is_held = compiled.when.holds(bindings)
        probability = compiled.probability.number(bindings) if is_held else None
        if probability is None or probability < rule.min_probability:
            self._held_turns.pop(rule.id, None)
            return None
        held_turns = self._held_turns[rule.id] = self._held_turns.get(rule.id, 0) + 1
        if held_turns < rule.hold_turns:
            return None
        contributions = self._contributions(compiled, result, probability)
        return RuleMatch(
            rule=rule,
            turn_index=result.turn_index,
            turn_id=result.turn.turn_id,
            probability=min(1.0, max(0.0, probability)),
            contributions=contributions,
            quotes=self._quotes(rule, contributions),
        )

    def _contributions(
        self, compiled: CompiledRule, result: TurnResult, probability: float
    ) -> tuple[Contribution, ...]:
        weights = {(result.turn_index, result.turn.turn_id): probability}
        if compiled.scope is Scope.CUSTOMER:
            newest = list(self._scored)[-compiled.rule.evidence.turns :]
            weights = {
                (record.result.turn_index, record.result.turn.turn_id): (
                    compiled.probability.number(bindings) or 0.0
                )
                for record, bindings in newest
            }
        least = MIN_CONTRIBUTION_RATIO * max(weights.values())
        kept = {turn: weight for turn, weight in weights.items() if weight >= least}
        total = sum(kept.values())
        return tuple(
            Contribution(index, turn_id, weight / total if total else 1 / len(kept))
            for (index, turn_id), weight in kept.items()
        )

    def _quotes(self, rule: Rule, contributions: tuple[Contribution, ...]) -> tuple[Quote, ...]:
        quotes: list[Quote] = []
        for turn_index, span in self._history.said():
            record = self._history.record(turn_index)
            if record is not None:
                turn = record.result.turn
                words = turn.text[span.start : span.end]
                quotes.append(
                    Quote(turn_index, turn.turn_id, span.start, span.end, words, PHRASE_ASPECT)
                )
        for contribution in sorted(contributions, key=lambda c: (-c.share, -c.turn_index)):
            record = self._history.record(contribution.turn_index)
            quote = record and _evidence_of(record, rule.evidence.aspects)
            if quote:
                quotes.append(quote)
        kept = quotes[:MAX_QUOTES]
        return tuple(sorted(kept, key=lambda quote: (quote.turn_index, quote.start)))


def open_evaluation(
    rule_set: RuleSet, context: ConversationContext = ConversationContext()
) -> ConversationEvaluation:
    """Begin to evaluate a rule set over a conversation."""
    return ConversationEvaluation(rule_set, context)


def _evidence_of(record: TurnRecord, aspects: tuple[str, ...]) -> Quote | None:
    """Return the words of a turn that weigh most, for the first aspect that has some."""
    scores = record.result.scores
    for aspect in aspects:
        spans = [e for e in (scores.evidence if scores else ()) if e.aspect == aspect]
        if spans:
            best = max(spans, key=lambda span: span.weight)
            turn = record.result
            return Quote(
                turn.turn_index, turn.turn.turn_id, best.start, best.end, best.text, aspect
            )
    return None
