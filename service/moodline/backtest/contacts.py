"""Past contacts: what was said and scored in them, and what people say of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from moodline.domain import ConversationAnalysis, EscalationLevel, TurnResult
from moodline.errors import FieldViolation, InvalidRequestError
from moodline.transcripts.transcript import Transcript, TranscriptTurn

_LEVEL_RANK: Final = {level: rank for rank, level in enumerate(EscalationLevel)}


@dataclass(frozen=True, slots=True)
class ContactLabels:
    """Whether somebody had to step in, as people say who have read the whole contact.

    Attributes:
        level: The highest level of the contact.
        watch_turn: Index of the first turn after which WATCH or more held; None if none did, or if
            the labels do not tell when.
        escalate_turn: The same of ESCALATE.
        reasons: Why, by the names of `rules.model.Reason`; other names are kept.
    """

    level: EscalationLevel
    watch_turn: int | None = None
    escalate_turn: int | None = None
    reasons: tuple[str, ...] = ()

    def is_at_least(self, level: EscalationLevel) -> bool:
        """Tell whether the contact reached a level."""
        return _LEVEL_RANK[self.level] >= _LEVEL_RANK[level]

    def first_turn(self, level: EscalationLevel) -> int | None:
        """Return the first turn after which WATCH or ESCALATE held, if that is known."""
        return self.escalate_turn if level is EscalationLevel.ESCALATE else self.watch_turn


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """What figures need to know of a contact besides its alerts; holds no words of it.

    Attributes:
        contact_id: Of the conversation, as transcripts name it; need not be unique.
        source: Where it was read from; empty if that has no name.
        number: Which of its source it is, from 1.
        channel: E.g. `chat`; empty if unknown.
        language: BCP-47 tag; `und` if unknown.
        turn_count: Turns, of all roles.
        duration_s: From the first start to the last end of its turns; None if times are unknown.
        labels: None if nobody has labelled it.
    """

    contact_id: str
    source: str
    number: int
    channel: str
    language: str
    turn_count: int
    duration_s: float | None
    labels: ContactLabels | None


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact whose turns have been scored.

    Attributes:
        attributes: What rules may read as `conversation.attributes`.
        turns: One result a turn; holds customer text.
    """

    facts: ContactFacts
    turns: tuple[TurnResult, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)


def contact_of(
    transcript: Transcript, analysis: ConversationAnalysis, *, source: str, number: int
) -> Contact:
    """Return a scored transcript as a contact.

    Args:
        transcript: What was read.
        analysis: Its results, a turn each.
        source: Where it was read from.
        number: Which of the source it is, from 1.

    Raises:
        InvalidRequestError: If its labels of escalation are not those of docs/backtest.md.
    """
    facts = ContactFacts(
        contact_id=transcript.conversation_id,
        source=source,
        number=number,
        channel=transcript.channel,
        language=analysis.language,
        turn_count=len(analysis.turns),
        duration_s=duration_s(analysis.turns),
        labels=labels_of(transcript),
    )
    return Contact(facts, analysis.turns, attributes_of(transcript))


def duration_s(turns: Sequence[TurnResult]) -> float | None:
    """Return the seconds from the first start to the last end; None without two points in time."""
    starts = [result.turn.start_ms for result in turns if result.turn.start_ms is not None]
    ends = [result.turn.end_ms for result in turns if result.turn.end_ms is not None]
    span_ms = max([*starts, *ends]) - min(starts) if starts else 0
    return span_ms / 1000 if span_ms > 0 else None


def attributes_of(transcript: Transcript) -> dict[str, str]:
    """Return the attributes that are plain values, as text, as a caller would send them."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in transcript.attributes.items()
        if isinstance(value, str | bool | int | float)
    }


def labels_of(transcript: Transcript) -> ContactLabels | None:
    """Return what people say of a transcript of our own labelled format; None if they say nothing.

    Labels of the turns stand above those of the conversation.

    Raises:
        InvalidRequestError: If a label is none of those in docs/backtest.md.
    """
    violations: list[FieldViolation] = []
    given = _level(transcript.labels, "labels.escalation", violations)
    levels = [
        _level(turn.labels, f"turns[{index}].labels.escalation", violations)
        for index, turn in enumerate(transcript.turns)
    ]
    reasons = _reasons(transcript.labels, violations)
    first = _first_turn(transcript, violations)
    if violations:
        raise InvalidRequestError(violations)
    labelled = [(index, level) for index, level in enumerate(levels) if level is not None]
    if labelled:
        return ContactLabels(
            level=max((level for _, level in labelled), key=_LEVEL_RANK.__getitem__),
            watch_turn=_first_at_least(labelled, EscalationLevel.WATCH),
            escalate_turn=_first_at_least(labelled, EscalationLevel.ESCALATE),
            reasons=reasons,
        )
    if given is None:
        return None
    return ContactLabels(
        level=given,
        watch_turn=None if given is EscalationLevel.NONE else first,
        escalate_turn=first if given is EscalationLevel.ESCALATE else None,
        reasons=reasons,
    )


def _level(
    labels: Mapping[str, object], path: str, violations: list[FieldViolation]
) -> EscalationLevel | None:
    name = labels.get("escalation")
    if name is None:
        return None
    try:
        return EscalationLevel(str(name).upper())
    except ValueError:
        violations.append(FieldViolation(path, "should be none, watch or escalate"))
        return None


def _reasons(labels: Mapping[str, object], violations: list[FieldViolation]) -> tuple[str, ...]:
    reasons = labels.get("escalation_reasons") or []
    if isinstance(reasons, list) and all(isinstance(reason, str) for reason in reasons):
        return tuple(reasons)
    violations.append(FieldViolation("labels.escalation_reasons", "should be a list of names"))
    return ()


def _first_turn(transcript: Transcript, violations: list[FieldViolation]) -> int | None:
    """Return where the turn of `labels.escalation_turn` stands now, or the next that was kept."""
    index = transcript.labels.get("escalation_turn")
    if index is None:
        return None
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        violations.append(
            FieldViolation("labels.escalation_turn", "should be the index of a turn, from 0")
        )
        return None
    return next((now for now, place in _original_indexes(transcript.turns) if place >= index), None)


def _original_indexes(turns: Sequence[TranscriptTurn]) -> Iterator[tuple[int, int]]:
    """Yield where each turn stands now and where it stood in its document."""
    for now, turn in enumerate(turns):
        inside = turn.place.removeprefix("turns[").removesuffix("]")
        yield now, int(inside) if inside.isdecimal() else now


def _first_at_least(
    labelled: Sequence[tuple[int, EscalationLevel]], level: EscalationLevel
) -> int | None:
    return next((i for i, one in labelled if _LEVEL_RANK[one] >= _LEVEL_RANK[level]), None)
