"""Our own JSON: one conversation a line, labelled or not.

Source: docs/formats.md, "Our own".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field

from moodline.errors import InvalidRequestError
from moodline.json_lines import load_json
from moodline.transcripts.assembly import Said, assemble
from moodline.transcripts.reading import Document, ReadOptions, first_of, json_format, refuse
from moodline.transcripts.records import (
    EpochMs,
    Milliseconds,
    Record,
    Text,
    misspelling,
    read_record,
)
from moodline.transcripts.transcript import SkippedTurn, SkipReason, Transcript, TranscriptTurn
from moodline.transcripts.vocabulary import role_of, vendor_sentiment


def _object(value: object) -> object:
    """Take an object also as JSON text or as pairs, as tables hold it."""
    if isinstance(value, str):
        try:
            return load_json(value.encode())
        except InvalidRequestError:
            raise ValueError("should be an object") from None
    return dict(value) if isinstance(value, list) and value else value or {}


_Object = Annotated[dict[str, object], BeforeValidator(_object)]


class _OwnRecord(Record):
    """Unknown keys are kept: they become attributes."""

    model_config = ConfigDict(extra="allow")

    attributes: _Object = Field(default_factory=dict)
    labels: _Object = Field(default_factory=dict)

    def all_attributes(self) -> dict[str, object]:
        return {**self.attributes, **(self.model_extra or {})}


class _Turn(_OwnRecord):
    role: Text = Field("", validation_alias=AliasChoices("role", "speaker"))
    text: Text = ""
    turn_id: Text = ""
    participant_id: Text = ""
    start_ms: Annotated[Milliseconds, Field(ge=0)] | None = None
    end_ms: Annotated[Milliseconds, Field(ge=0)] | None = None
    language: Text = ""
    private: bool = False
    vendor_sentiment: Text = ""

    def said(self, place: str) -> Said:
        turn = TranscriptTurn(
            role=role_of(self.role),
            text=self.text,
            turn_id=self.turn_id,
            participant_id=self.participant_id,
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            vendor_sentiment=vendor_sentiment(self.vendor_sentiment),
            language=self.language,
            attributes=self.all_attributes(),
            labels=self.labels,
            place=place,
        )
        return SkippedTurn(SkipReason.PRIVATE_NOTE, turn) if self.private else turn


class _Conversation(_OwnRecord):
    conversation_id: Text = Field("", validation_alias=AliasChoices("conversation_id", "id"))
    channel: Text = ""
    language: Text = Field("", validation_alias=AliasChoices("language", "lang"))
    started_at: EpochMs | None = None
    turns: tuple[_Turn, ...]

    def misspelt(self) -> Iterator[str]:
        yield from self.model_extra or ()
        yield from sorted(
            {f"turns[].{key}" for turn in self.turns for key in turn.model_extra or ()}
        )


def read_conversation(
    document: Document, options: ReadOptions, format_name: str
) -> Iterator[Transcript]:
    """Read a conversation of our own JSON, or a row of a Parquet file of the same shape.

    Raises:
        InvalidRequestError: If it does not have the shape, or has a key that looks like a misspelt
            one; other unknown keys become attributes.
    """
    whole = read_record(_Conversation, document.record)
    known = {False: _Conversation.model_fields, True: _Turn.model_fields}
    misspelt = [misspelling(key, known["." in key]) for key in whole.misspelt()]
    if any(misspelt):
        raise refuse(*filter(None, misspelt))
    yield assemble(
        (turn.said(f"turns[{index}]") for index, turn in enumerate(whole.turns)),
        conversation_id=whole.conversation_id or document.name,
        format_name=format_name,
        options=options,
        begin_ms=whole.started_at,
        is_ordered=True,
        channel=whole.channel,
        language=whole.language,
        attributes=whole.all_attributes(),
        labels=whole.labels,
    )


def _is_conversation(record: Mapping[str, object]) -> bool:
    turn = first_of(record.get("turns"))
    return "text" in turn and bool({"role", "speaker"} & set(turn))


JSONL: Final = json_format(
    "jsonl",
    "moodline's own JSON, one conversation a line",
    "`turns[].text` with `role` or `speaker`",
    _is_conversation,
    lambda document, options: read_conversation(document, options, "jsonl"),
)
