"""Azure AI Language: items of conversations, as its analysis takes them.

Source: Microsoft Learn, Azure AI Language, "Conversation summarization" and "Conversational PII",
the input of transcripts and chats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from moodline.transcripts.assembly import assemble
from moodline.transcripts.reading import Document, ReadOptions, first_of, json_format
from moodline.transcripts.records import Milliseconds, Record, Text, read_record
from moodline.transcripts.transcript import Transcript, TranscriptTurn
from moodline.transcripts.vocabulary import role_of

_TICKS_PER_MS: Final = 10_000
"""Times are in units of 100 nanoseconds."""


class _AzureRecord(Record):
    """An object whose keys are written `likeThis`."""

    model_config = ConfigDict(alias_generator=to_camel)


class _Timing(_AzureRecord):
    offset: Milliseconds = 0
    """In ticks."""
    duration: Milliseconds = 0
    """In ticks."""


class _Item(_AzureRecord):
    id: Text = ""
    participant_id: Text = ""
    role: Text = ""
    language: Text = ""
    text: Text = ""
    itn: Text = ""
    masked_itn: Text = ""
    lexical: Text = ""
    audio_timings: tuple[_Timing, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _with_content(cls, value: Any) -> Any:
        """Take up what some versions of the API nest under `content`."""
        if isinstance(value, dict) and isinstance(value.get("content"), dict):
            return {**value["content"], **value}
        return value

    def turn(self, place: str) -> TranscriptTurn:
        starts = [timing.offset for timing in self.audio_timings]
        ends = [timing.offset + timing.duration for timing in self.audio_timings]
        return TranscriptTurn(
            role=role_of(self.role or self.participant_id),
            text=self.text or self.itn or self.masked_itn or self.lexical,
            turn_id=self.id,
            participant_id=self.participant_id,
            start_ms=round(min(starts) / _TICKS_PER_MS) if starts else None,
            end_ms=round(max(ends) / _TICKS_PER_MS) if ends else None,
            language=self.language,
            place=place,
        )


class _Conversation(_AzureRecord):
    id: Text = ""
    language: Text = ""
    modality: Text = ""
    conversation_items: tuple[_Item, ...]


class _Conversations(_AzureRecord):
    conversations: tuple[_Conversation, ...]


class _Request(_AzureRecord):
    analysis_input: _Conversations


def _read(document: Document, options: ReadOptions) -> Iterator[Transcript]:
    if "analysisInput" in document.record:
        request = read_record(_Request, document.record).analysis_input
        prefix = "analysisInput."
    else:
        request = read_record(_Conversations, document.record)
        prefix = ""
    is_alone = len(request.conversations) == 1
    for number, whole in enumerate(request.conversations):
        place = f"{prefix}conversations[{number}].conversationItems"
        yield assemble(
            (item.turn(f"{place}[{i}]") for i, item in enumerate(whole.conversation_items)),
            conversation_id=whole.id
            or (document.name if is_alone else f"{document.name}-{number + 1}"),
            format_name="azure",
            options=options,
            is_ordered=True,
            # `transcript` is speech, `text` is chat.
            channel=whole.modality,
            language=whole.language,
        )


def _is_request(record: Mapping[str, object]) -> bool:
    nested = record.get("analysisInput")
    holder = nested if isinstance(nested, dict) else record
    return "conversationItems" in first_of(holder.get("conversations"))


AZURE: Final = json_format(
    "azure",
    "Azure AI Language conversation items",
    "`conversations[].conversationItems`, also under `analysisInput`",
    _is_request,
    _read,
)
