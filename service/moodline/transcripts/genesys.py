"""Genesys Cloud: transcripts of speech and text analytics.

Source: Genesys Cloud Developer Center, Speech and Text Analytics, "transcripturl" response.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from moodline.transcripts.assembly import Clock, assemble
from moodline.transcripts.reading import Document, ReadOptions, first_of, json_format
from moodline.transcripts.records import (
    EpochMs,
    Record,
    Score,
    Text,
    finite_number,
    read_record,
)
from moodline.transcripts.transcript import SpeakerRole, Transcript, TranscriptTurn, VendorSentiment
from moodline.transcripts.vocabulary import role_of, scaled

# Ours is the side of the company; who of it speaks follows from the participants.
_INTERNAL: Final = "internal"
# What the vendor's documentation calls the parts of a duration differs by page.
_MS_OF_UNIT: Final = {
    "milliseconds": 1.0,
    "millis": 1.0,
    "totalMilliseconds": 1.0,
    "totalMillis": 1.0,
    "seconds": 1000.0,
    "nanos": 1e-6,
}
_OVERALL_SPAN: Final = 100.0


def _duration_ms(value: object) -> int:
    """Return milliseconds of a number of them, or of an object of units."""
    if not isinstance(value, dict):
        return round(finite_number(value))
    units = {unit: value[unit] for unit in _MS_OF_UNIT if value.get(unit) is not None}
    if not units:
        raise ValueError(f"should be a number or hold one of {', '.join(_MS_OF_UNIT)}")
    return round(sum(float(finite_number(n)) * _MS_OF_UNIT[unit] for unit, n in units.items()))


DurationMs = Annotated[int, BeforeValidator(_duration_ms)]


class _GenesysRecord(Record):
    """An object whose keys are written `likeThis`."""

    model_config = ConfigDict(alias_generator=to_camel)


class _Phrase(_GenesysRecord):
    phrase_index: int | None = None
    participant_purpose: Text = ""
    text: Text = ""
    decorated_text: Text = ""
    start_time_ms: EpochMs | None = None
    duration: DurationMs | None = None


class _Feeling(_GenesysRecord):
    phrase_index: int | None = None
    sentiment: Score = None


class _Topic(_GenesysRecord):
    topic_name: Text = ""


class _Analytics(_GenesysRecord):
    sentiment: tuple[_Feeling, ...] = ()
    topics: tuple[_Topic, ...] = ()


class _Part(_GenesysRecord):
    language: Text = ""
    phrases: tuple[_Phrase, ...] = ()
    analytics: _Analytics = _Analytics()


class _Participant(_GenesysRecord):
    participant_purpose: Text = ""
    user_id: Text = ""
    start_time_ms: EpochMs | None = None
    end_time_ms: EpochMs | None = None

    def is_there(self, moment_ms: int) -> bool:
        """Tell whether the participant is in the conversation at a moment."""
        begins = self.start_time_ms is None or self.start_time_ms <= moment_ms
        return begins and (self.end_time_ms is None or moment_ms < self.end_time_ms)


class _Overall(_GenesysRecord):
    sentiment_score: Score = None


class _Conversation(_GenesysRecord):
    conversation_id: Text = ""
    media_type: Text = ""
    conversation_start_time: EpochMs | None = None
    start_time: EpochMs | None = None
    transcripts: tuple[_Part, ...]
    participants: tuple[_Participant, ...] = ()
    overall: _Overall = Field(_Overall(), alias="conversationSentiment")


def _read(document: Document, options: ReadOptions) -> Iterator[Transcript]:
    whole = read_record(_Conversation, document.record)
    begin_ms = whole.conversation_start_time
    topics = [topic.topic_name for part in whole.transcripts for topic in part.analytics.topics]
    score = whole.overall.sentiment_score
    yield assemble(
        _turns(whole),
        conversation_id=whole.conversation_id or document.name,
        format_name="genesys",
        options=options,
        clock=Clock.EPOCH,
        begin_ms=whole.start_time if begin_ms is None else begin_ms,
        channel=whole.media_type,
        language=next((part.language for part in whole.transcripts if part.language), ""),
        vendor_sentiment=(
            {}
            if score is None
            else {"conversation": VendorSentiment("", scaled(score, span=_OVERALL_SPAN))}
        ),
        attributes={"topics": list(dict.fromkeys(topics))} if topics else {},
    )


def _turns(whole: _Conversation) -> Iterator[TranscriptTurn]:
    for part_index, part in enumerate(whole.transcripts):
        feeling_of = {one.phrase_index: one.sentiment for one in part.analytics.sentiment}
        for index, phrase in enumerate(part.phrases):
            role, participant_id = _speaker(phrase, whole.participants)
            start_ms, duration_ms = phrase.start_time_ms, phrase.duration
            has_end = start_ms is not None and duration_ms is not None
            yield TranscriptTurn(
                role=role,
                text=phrase.decorated_text or phrase.text,
                participant_id=participant_id,
                start_ms=start_ms,
                end_ms=(start_ms or 0) + (duration_ms or 0) if has_end else None,
                vendor_sentiment=_sentiment(feeling_of.get(phrase.phrase_index)),
                language=part.language,
                place=f"transcripts[{part_index}].phrases[{index}]",
            )


def _speaker(phrase: _Phrase, participants: tuple[_Participant, ...]) -> tuple[SpeakerRole, str]:
    """Return role and id of who says a phrase: of those of the company who joined last."""
    purpose = phrase.participant_purpose
    if purpose.casefold() != _INTERNAL or phrase.start_time_ms is None:
        return role_of(purpose), purpose
    present = [
        one
        for one in participants
        if role_of(one.participant_purpose) is not SpeakerRole.CUSTOMER
        and one.is_there(phrase.start_time_ms)
    ]
    if not present:
        return role_of(purpose), purpose
    # A person in the call speaks, not the queue that it is still counted in.
    last = max(
        present,
        key=lambda one: (
            role_of(one.participant_purpose) is SpeakerRole.AGENT,
            one.start_time_ms or 0,
        ),
    )
    return role_of(last.participant_purpose), last.user_id or last.participant_purpose


def _sentiment(value: float | None) -> VendorSentiment | None:
    if value is None:
        return None
    label = "NEUTRAL" if value == 0 else "POSITIVE" if value > 0 else "NEGATIVE"
    return VendorSentiment(label, scaled(value, span=1.0))


def _is_transcript(record: Mapping[str, object]) -> bool:
    return "phrases" in first_of(record.get("transcripts"))


GENESYS: Final = json_format(
    "genesys",
    "Genesys Cloud speech and text analytics",
    "`transcripts[].phrases`",
    _is_transcript,
    _read,
)
