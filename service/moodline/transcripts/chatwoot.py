"""Chatwoot: the messages of a conversation, from the API or a webhook.

Source: Chatwoot developer documentation, "Get messages" and "Webhooks".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import AliasChoices, Field

from moodline.transcripts.assembly import Clock, Said, assemble
from moodline.transcripts.reading import Document, ReadOptions, first_of, json_format
from moodline.transcripts.records import EpochMs, Record, Text, read_record
from moodline.transcripts.transcript import (
    SkippedTurn,
    SkipReason,
    SpeakerRole,
    Transcript,
    TranscriptTurn,
)
from moodline.transcripts.vocabulary import vendor_sentiment

_ROLE_OF_SENDER: Final = {
    "contact": SpeakerRole.CUSTOMER,
    "user": SpeakerRole.AGENT,
    "agentbot": SpeakerRole.BOT,
    "agent_bot": SpeakerRole.BOT,
    "captain::assistant": SpeakerRole.BOT,
}
# Webhooks write the words, the API the numbers.
_ROLE_OF_MESSAGE: Final = {
    "0": SpeakerRole.CUSTOMER,
    "incoming": SpeakerRole.CUSTOMER,
    "1": SpeakerRole.AGENT,
    "outgoing": SpeakerRole.AGENT,
    "3": SpeakerRole.BOT,
    "template": SpeakerRole.BOT,
}
_ACTIVITIES: Final = frozenset({"2", "activity"})
_TEXT_TYPES: Final = frozenset({"", "text", "incoming_email", "input_email"})


class _Sender(Record):
    id: Text = ""
    name: Text = ""
    type: Text = ""


class _Sentiment(Record):
    label: Text = Field("", validation_alias=AliasChoices("label", "value", "sentiment"))


class _Attachment(Record):
    file_type: Text = ""


class _Message(Record):
    id: Text = ""
    content: Text = ""
    message_type: Text = ""
    created_at: EpochMs | None = None
    private: bool = False
    content_type: Text = ""
    sender_type: Text = ""
    sender_id: Text = ""
    sender: _Sender = _Sender()
    sentiment: _Sentiment = _Sentiment()
    attachments: tuple[_Attachment, ...] = ()

    @property
    def participant_id(self) -> str:
        """The sender; ids of contacts and of users overlap, so the type is part of it."""
        kind = self.sender_type or self.sender.type
        return f"{kind.casefold()}-{self.sender_id or self.sender.id}" if kind else ""

    def said(self, place: str) -> Said:
        role = _ROLE_OF_SENDER.get((self.sender_type or self.sender.type).casefold())
        turn = TranscriptTurn(
            role=role or _ROLE_OF_MESSAGE.get(self.message_type, SpeakerRole.UNKNOWN),
            text=self.content,
            turn_id=self.id,
            participant_id=self.participant_id,
            start_ms=self.created_at,
            vendor_sentiment=vendor_sentiment(self.sentiment.label),
            place=place,
        )
        if self.message_type in _ACTIVITIES:
            return SkippedTurn(SkipReason.EVENT, turn)
        if self.private:
            return SkippedTurn(SkipReason.PRIVATE_NOTE, turn)
        if self.content_type not in _TEXT_TYPES or (self.attachments and not self.content):
            return SkippedTurn(SkipReason.NOT_TEXT, turn)
        return turn


class _Conversation(Record):
    id: Text = ""
    status: Text = ""
    priority: Text = ""
    channel: Text = ""
    labels: tuple[Text, ...] = ()
    messages: tuple[_Message, ...] = Field(validation_alias=AliasChoices("payload", "messages"))


def _read(document: Document, options: ReadOptions) -> Iterator[Transcript]:
    whole = read_record(_Conversation, document.record)
    key = "payload" if "payload" in document.record else "messages"
    attributes = {
        "status": whole.status,
        "priority": whole.priority,
        "tags": list(whole.labels),
    }
    yield assemble(
        (one.said(f"{key}[{index}]") for index, one in enumerate(whole.messages)),
        conversation_id=whole.id or document.name,
        format_name="chatwoot",
        options=options,
        clock=Clock.EPOCH,
        channel=whole.channel.removeprefix("Channel::"),
        names={one.participant_id: one.sender.name for one in whole.messages},
        attributes={name: value for name, value in attributes.items() if value},
    )


def _is_conversation(record: Mapping[str, object]) -> bool:
    message = first_of(record.get("payload")) or first_of(record.get("messages"))
    return {"content", "message_type"} <= set(message)


CHATWOOT: Final = json_format(
    "chatwoot",
    "Chatwoot conversation with its messages",
    "`payload[]` or `messages[]` with `message_type` and `content`",
    _is_conversation,
    _read,
)
