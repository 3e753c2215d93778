"""From what a format says of each turn to a transcript: the rules that all formats share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Final, TypeAlias

import langcodes
from langcodes.tag_parser import LanguageTagError

from moodline.limits import Limits
from moodline.transcripts.reading import ReadOptions
from moodline.transcripts.records import moment_of
from moodline.transcripts.transcript import (
    Participant,
    SkippedTurn,
    SkipReason,
    SpeakerRole,
    Transcript,
    TranscriptTurn,
    TranscriptWarning,
    TranscriptWarningCode,
    VendorSentiment,
)
from moodline.transcripts.vocabulary import channel_of, redactions_in

Said: TypeAlias = TranscriptTurn | SkippedTurn

_MAX_ID_CHARS: Final = Limits().max_id_chars


class Clock(Enum):
    """What the times of a format count from."""

    CONVERSATION = "from the beginning of the conversation"
    EPOCH = "from the Unix epoch; the beginning is what the format says, else the first turn"


def assemble(
    said: Iterable[Said],
    *,
    conversation_id: str,
    format_name: str,
    options: ReadOptions,
    clock: Clock = Clock.CONVERSATION,
    begin_ms: int | None = None,
    is_ordered: bool = False,
    channel: str = "",
    language: str = "",
    names: Mapping[str, str] | None = None,
    warnings: Sequence[TranscriptWarning] = (),
    vendor_sentiment: Mapping[str, VendorSentiment] | None = None,
    attributes: Mapping[str, object] | None = None,
    labels: Mapping[str, object] | None = None,
    document: Mapping[str, object] | None = None,
) -> Transcript:
    """Make a transcript of what a format says.

    Turns without text, of the system, or that repeat one with the same id, words and speaker are
    skipped, with the reason.

    Args:
        said: Turns, and what the format itself tells to skip.
        clock: What the times of `said` count from.
        begin_ms: The beginning of the conversation in milliseconds since the epoch, if known.
        is_ordered: Whether the order of `said` is that of speech; else the start times decide.
        channel: In the format's own words.
        language: As the format writes it.
        names: Name of a participant by id.
        conversation_id: As in `Transcript`, like all that follow.
        format_name: The format.
        options: Whose roles stand above those in `said`.
        warnings: What the format itself has to tell.
        vendor_sentiment: Of the whole conversation.
        attributes: Of the conversation.
        labels: Of the conversation.
        document: The vCon.
    """
    names = names or {}
    entries = list(_without_repeats(_classified(turn, names, options) for turn in said))
    if not is_ordered:
        entries = _in_time_order(entries)
    starts = [
        entry.start_ms
        for entry in entries
        if isinstance(entry, TranscriptTurn) and entry.start_ms is not None
    ]
    if clock is Clock.EPOCH and starts:
        # Clocks of two systems may disagree: nothing is said before the beginning.
        begin_ms = min(starts) if begin_ms is None else min(begin_ms, *starts)
        entries = [_since(entry, begin_ms) for entry in entries]
    turns, dropped_count = _with_usable_ids(e for e in entries if isinstance(e, TranscriptTurn))
    told = list(warnings)
    tag = _language_tag(language)
    if tag is None:
        told.append(
            TranscriptWarning(
                TranscriptWarningCode.LANGUAGE_NOT_READ,
                "The language is no BCP-47 tag such as tr-TR; it will be detected.",
            )
        )
    unknown_count = sum(turn.role is SpeakerRole.UNKNOWN for turn in turns)
    if unknown_count:
        told.append(
            TranscriptWarning(
                TranscriptWarningCode.ROLE_UNKNOWN,
                f"The role of the speaker of {unknown_count} turns is unknown: they are read as an "
                "agent's and not scored; name the roles of these participants.",
            )
        )
    if dropped_count:
        told.append(
            TranscriptWarning(
                TranscriptWarningCode.TURN_ID_DROPPED,
                f"{dropped_count} turns stand without id: theirs is that of an earlier turn, or "
                f"has more than {_MAX_ID_CHARS} characters.",
            )
        )
    return Transcript(
        conversation_id=conversation_id,
        format_name=format_name,
        turns=turns,
        skipped=tuple(entry for entry in entries if isinstance(entry, SkippedTurn)),
        channel=channel_of(channel),
        language=tag or "",
        started_at=None if begin_ms is None else moment_of(begin_ms),
        participants=_participants(turns, names),
        warnings=tuple(told),
        vendor_sentiment=vendor_sentiment or {},
        attributes=attributes or {},
        labels=labels or {},
        document=document,
    )


def _classified(entry: Said, names: Mapping[str, str], options: ReadOptions) -> Said:
    """Give a turn the role that the user wants, and skip what is not said in the conversation."""
    turn = entry.turn if isinstance(entry, SkippedTurn) else entry
    if options.roles:
        participant_id = turn.participant_id
        role = options.role_of(participant_id, names.get(participant_id, ""))
        turn = turn if role is None else replace(turn, role=role)
    if isinstance(entry, SkippedTurn):
        return SkippedTurn(entry.reason, turn)
    if not turn.text.strip():
        return SkippedTurn(SkipReason.EMPTY_TEXT, turn)
    if turn.role is SpeakerRole.SYSTEM:
        return SkippedTurn(SkipReason.SYSTEM_MESSAGE, turn)
    redactions = turn.redactions or redactions_in(turn.text)
    return turn if redactions == turn.redactions else replace(turn, redactions=redactions)


def _without_repeats(entries: Iterable[Said]) -> Iterator[Said]:
    """Skip what pages that overlap, or a copy sent twice, hold twice."""
    seen: set[tuple[str, str, str]] = set()
    for entry in entries:
        if isinstance(entry, SkippedTurn) or not entry.turn_id:
            yield entry
            continue
        key = (entry.turn_id, entry.participant_id, entry.text)
        yield SkippedTurn(SkipReason.DUPLICATE, entry) if key in seen else entry
        seen.add(key)


def _with_usable_ids(turns: Iterable[TranscriptTurn]) -> tuple[tuple[TranscriptTurn, ...], int]:
    """Take the id from turns that share one with an earlier turn or have too long a one."""
    seen: set[str] = set()
    kept = []
    dropped_count = 0
    for turn in turns:
        if turn.turn_id and (turn.turn_id in seen or len(turn.turn_id) > _MAX_ID_CHARS):
            turn = replace(turn, turn_id="")
            dropped_count += 1
        seen.add(turn.turn_id)
        kept.append(turn)
    return tuple(kept), dropped_count


def _in_time_order(entries: list[Said]) -> list[Said]:
    """Sort by start; what has none stays behind what it stood behind."""
    keyed = []
    latest = float("-inf")
    for entry in entries:
        start_ms = (entry.turn if isinstance(entry, SkippedTurn) else entry).start_ms
        latest = latest if start_ms is None else start_ms
        keyed.append((latest, entry))
    return [entry for _, entry in sorted(keyed, key=lambda pair: pair[0])]


def _since(entry: Said, begin_ms: int) -> Said:
    if isinstance(entry, SkippedTurn):
        return SkippedTurn(entry.reason, _turn_since(entry.turn, begin_ms))
    return _turn_since(entry, begin_ms)


def _turn_since(turn: TranscriptTurn, begin_ms: int) -> TranscriptTurn:
    return replace(
        turn,
        start_ms=None if turn.start_ms is None else turn.start_ms - begin_ms,
        end_ms=None if turn.end_ms is None else turn.end_ms - begin_ms,
    )


def _language_tag(language: str) -> str | None:
    """Return a BCP-47 tag in its canonical form, or None for what is none."""
    try:
        return langcodes.standardize_tag(language) if language else ""
    except LanguageTagError:
        return None


def _participants(
    turns: Iterable[TranscriptTurn], names: Mapping[str, str]
) -> tuple[Participant, ...]:
    participants: dict[tuple[str, SpeakerRole], Participant] = {}
    for turn in turns:
        name = names.get(turn.participant_id, "")
        participant = Participant(turn.participant_id, turn.role, name)
        participants.setdefault((turn.participant_id, turn.role), participant)
    return tuple(participants.values())
