"""Zendesk Support: a ticket's comments with their users.

Source: Zendesk API reference, Ticketing, "Ticket Comments" and "Users"; tags of intelligent
triage from Zendesk Help, "Automatically detecting customer intent, sentiment, and language".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from moodline.transcripts.assembly import Clock, Said, assemble
from moodline.transcripts.markup import text_of_html
from moodline.transcripts.reading import Document, ReadOptions, first_of, json_format
from moodline.transcripts.records import EpochMs, Record, Text, read_record
from moodline.transcripts.transcript import (
    SkippedTurn,
    SkipReason,
    SpeakerRole,
    Transcript,
    TranscriptTurn,
    TranscriptWarning,
    TranscriptWarningCode,
    VendorSentiment,
)
from moodline.transcripts.vocabulary import role_of

# Triggers and integrations write in this name.
_SYSTEM_AUTHOR: Final = "-1"
_SCORE_OF_TAG: Final = {
    "very_negative": -1.0,
    "negative": -0.5,
    "neutral": 0.0,
    "positive": 0.5,
    "very_positive": 1.0,
}


class _Via(Record):
    channel: Text = ""


class _Comment(Record):
    id: Text = ""
    author_id: Text = ""
    public: bool = True
    body: Text = ""
    plain_body: Text = ""
    html_body: Text = ""
    created_at: EpochMs | None = None

    @property
    def text(self) -> str:
        shown = self.plain_body or text_of_html(self.html_body) or self.body
        return shown.replace("&nbsp;", " ").strip()


class _User(Record):
    id: Text = ""
    name: Text = ""
    role: Text = ""


class _Ticket(Record):
    id: Text = ""
    subject: Text = ""
    priority: Text = ""
    status: Text = ""
    requester_id: Text = ""
    tags: tuple[Text, ...] = ()
    via: _Via = _Via()


class _Page(Record):
    has_more: bool = False


class _Export(Record):
    ticket: _Ticket = _Ticket()
    comments: tuple[_Comment, ...]
    users: tuple[_User, ...] = ()
    meta: _Page = _Page()
    next_page: Text = ""


def _read(document: Document, options: ReadOptions) -> Iterator[Transcript]:
    export = read_record(_Export, document.record)
    ticket = export.ticket
    roles = {user.id: role_of(user.role) for user in export.users}
    # Who asked is a customer even where the users are not in the export.
    roles.setdefault(ticket.requester_id, SpeakerRole.CUSTOMER)
    roles[_SYSTEM_AUTHOR] = SpeakerRole.SYSTEM
    more = TranscriptWarning(
        TranscriptWarningCode.INCOMPLETE,
        "There is another page of comments; join the comments of all pages in one document.",
    )
    attributes = {
        "subject": ticket.subject,
        "status": ticket.status,
        "priority": ticket.priority,
        "tags": list(ticket.tags),
    }
    yield assemble(
        (_said(one, index, roles) for index, one in enumerate(export.comments)),
        conversation_id=ticket.id or document.name,
        format_name="zendesk",
        options=options,
        clock=Clock.EPOCH,
        channel=ticket.via.channel,
        language=_tag_value(ticket.tags, "language"),
        names={user.id: user.name for user in export.users},
        warnings=[more] if export.meta.has_more or export.next_page else [],
        vendor_sentiment=_sentiment(_tag_value(ticket.tags, "sentiment")),
        attributes={name: value for name, value in attributes.items() if value},
    )


def _said(comment: _Comment, index: int, roles: Mapping[str, SpeakerRole]) -> Said:
    turn = TranscriptTurn(
        role=roles.get(comment.author_id, SpeakerRole.UNKNOWN),
        text=comment.text,
        turn_id=comment.id,
        participant_id=comment.author_id,
        start_ms=comment.created_at,
        place=f"comments[{index}]",
    )
    return turn if comment.public else SkippedTurn(SkipReason.PRIVATE_NOTE, turn)


def _tag_value(tags: tuple[str, ...], name: str) -> str:
    """Return what a tag of intelligent triage says, e.g. `sentiment__negative`."""
    prefix = f"{name}__"
    return next((tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)), "")


def _sentiment(value: str) -> dict[str, VendorSentiment]:
    """Return the sentiment of the ticket, which Zendesk takes from its first message alone."""
    if not value:
        return {}
    return {"conversation": VendorSentiment(value.upper(), _SCORE_OF_TAG.get(value))}


def _is_export(record: Mapping[str, object]) -> bool:
    comment = first_of(record.get("comments"))
    return "author_id" in comment and bool({"plain_body", "html_body", "body"} & set(comment))


ZENDESK: Final = json_format(
    "zendesk",
    "Zendesk ticket with comments and users",
    "`comments[].author_id` with `body`, best beside `users` and `ticket`",
    _is_export,
    _read,
)
