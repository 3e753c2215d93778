"""Intercom: a conversation with its parts.

Source: Intercom Developer Hub, REST API, "The conversation model" and "Conversation part".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from moodline.transcripts.assembly import Clock, Said, assemble
from moodline.transcripts.markup import text_of_html
from moodline.transcripts.reading import Document, ReadOptions, json_format
from moodline.transcripts.records import EpochMs, Record, Text, read_record
from moodline.transcripts.transcript import (
    SkippedTurn,
    SkipReason,
    Transcript,
    TranscriptTurn,
    TranscriptWarning,
    TranscriptWarningCode,
)
from moodline.transcripts.vocabulary import role_of

# Whatever else has words (assignments, closings by workflows) is seen by the team alone.
_SHOWN_PARTS: Final = frozenset({"comment", "open", "close", "quick_reply"})
_SOURCE_CHANNELS: Final = {"email": "email", "twitter": "social", "facebook": "social"}


class _Author(Record):
    type: Text = ""
    id: Text = ""
    name: Text = ""


class _Attachment(Record):
    name: Text = ""


class _Message(Record):
    id: Text = ""
    body: Text = ""
    author: _Author = _Author()
    attachments: tuple[_Attachment, ...] = ()
    redacted: bool = False


class _Part(_Message):
    part_type: Text = "comment"
    created_at: EpochMs | None = None


class _Source(_Message):
    type: Text = ""
    subject: Text = ""


class _Parts(Record):
    conversation_parts: tuple[_Part, ...] = ()
    total_count: int | None = None


class _Tag(Record):
    name: Text = ""


class _Tags(Record):
    tags: tuple[_Tag, ...] = ()


class _Conversation(Record):
    id: Text = ""
    created_at: EpochMs | None = None
    state: Text = ""
    priority: Text = ""
    source: _Source | None = None
    conversation_parts: _Parts = _Parts()
    tags: _Tags = _Tags()


def _read(document: Document, options: ReadOptions) -> Iterator[Transcript]:
    whole = read_record(_Conversation, document.record)
    parts = whole.conversation_parts.conversation_parts
    messages: list[_Message] = [*([whole.source] if whole.source else []), *parts]
    missing_count = (whole.conversation_parts.total_count or 0) - len(parts)
    missing = TranscriptWarning(
        TranscriptWarningCode.INCOMPLETE,
        f"{missing_count} parts are not in the document; Intercom gives at most 500.",
    )
    attributes: dict[str, object] = {
        "subject": text_of_html(whole.source.subject) if whole.source else "",
        "status": whole.state,
        "priority": whole.priority,
        "tags": [tag.name for tag in whole.tags.tags],
    }
    yield assemble(
        _said(whole, parts),
        conversation_id=whole.id or document.name,
        format_name="intercom",
        options=options,
        clock=Clock.EPOCH,
        channel=_SOURCE_CHANNELS.get(whole.source.type, "chat") if whole.source else "chat",
        names={one.author.id: one.author.name for one in messages},
        warnings=[missing] if missing_count > 0 else [],
        attributes={name: value for name, value in attributes.items() if value},
    )


def _said(whole: _Conversation, parts: tuple[_Part, ...]) -> Iterator[Said]:
    if whole.source:
        yield _classified(whole.source, _turn(whole.source, whole.created_at, "source"), "comment")
    for index, part in enumerate(parts):
        place = f"conversation_parts.conversation_parts[{index}]"
        yield _classified(part, _turn(part, part.created_at, place), part.part_type)


def _turn(message: _Message, start_ms: int | None, place: str) -> TranscriptTurn:
    text = text_of_html(message.body)
    return TranscriptTurn(
        role=role_of(message.author.type),
        text=text,
        turn_id=message.id,
        participant_id=message.author.id or message.author.type,
        start_ms=start_ms,
        redactions=((0, len(text)),) if message.redacted and text else (),
        place=place,
    )


def _classified(message: _Message, turn: TranscriptTurn, part_type: str) -> Said:
    if part_type.startswith("note"):
        return SkippedTurn(SkipReason.PRIVATE_NOTE, turn)
    if part_type not in _SHOWN_PARTS or (part_type in {"open", "close"} and not turn.text):
        return SkippedTurn(SkipReason.EVENT, turn)
    if not turn.text and message.attachments:
        return SkippedTurn(SkipReason.NOT_TEXT, turn)
    return turn


def _is_conversation(record: Mapping[str, object]) -> bool:
    return "conversation_parts" in record


INTERCOM: Final = json_format(
    "intercom",
    "Intercom conversation with its parts",
    "`conversation_parts`",
    _is_conversation,
    _read,
)
