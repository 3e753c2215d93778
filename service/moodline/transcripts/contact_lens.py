"""Amazon Connect Contact Lens: analysed calls and chats, and the segments of a call under way.

Source: Amazon Connect Administrator Guide, "Contact Lens output file locations" and "Example
Contact Lens output files"; API reference, ListRealtimeContactAnalysisSegments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pydantic import AliasChoices, ConfigDict, Field
from pydantic.alias_generators import to_pascal

from moodline.transcripts.assembly import Clock, Said, assemble
from moodline.transcripts.reading import Document, ReadOptions, first_of, json_format
from moodline.transcripts.records import EpochMs, Milliseconds, Record, Score, Text, read_record
from moodline.transcripts.transcript import (
    SkippedTurn,
    SkipReason,
    Transcript,
    TranscriptTurn,
    TranscriptWarning,
    TranscriptWarningCode,
    VendorSentiment,
)
from moodline.transcripts.vocabulary import role_of, scaled, vendor_sentiment

SCORE_SPAN: Final = 5.0
"""Amazon's sentiment scores are on [-5, 5]."""


class AmazonRecord(Record):
    """An object whose keys are written `LikeThis`."""

    model_config = ConfigDict(alias_generator=to_pascal)


class _Offsets(AmazonRecord):
    begin_offset_millis: Milliseconds = 0
    end_offset_millis: Milliseconds = 0


class _Characters(AmazonRecord):
    """A span of a turn; the services write its ends differently."""

    begin: int = Field(0, validation_alias=AliasChoices("BeginOffsetChar", "Begin"))
    end: int = Field(0, validation_alias=AliasChoices("EndOffsetChar", "End"))


class _Issue(AmazonRecord):
    character_offsets: _Characters = _Characters()


class _Redaction(AmazonRecord):
    redacted_timestamps: tuple[_Offsets, ...] = ()
    character_offsets: tuple[_Characters, ...] = ()


class SpokenItem(AmazonRecord):
    """A turn of a call, as Contact Lens and Transcribe Call Analytics write it."""

    id: Text = ""
    participant_id: Text = ""
    participant_role: Text = ""
    content: Text = ""
    begin_offset_millis: Milliseconds | None = None
    end_offset_millis: Milliseconds | None = None
    sentiment: Text = ""
    issues_detected: tuple[_Issue, ...] = ()
    redaction: _Redaction = _Redaction()

    def turn(self, roles: Mapping[str, str], place: str) -> TranscriptTurn:
        """Return the turn.

        Args:
            roles: The vendor's word for the role of a participant, by id.
            place: Where it stands in the document.
        """
        attributes: dict[str, object] = {}
        if self.issues_detected:
            spans = [issue.character_offsets for issue in self.issues_detected]
            attributes["issue_spans"] = [[span.begin, span.end] for span in spans]
        if self.redaction.redacted_timestamps:
            attributes["redacted_ms"] = [
                [span.begin_offset_millis, span.end_offset_millis]
                for span in self.redaction.redacted_timestamps
            ]
        role = self.participant_role or roles.get(self.participant_id, self.participant_id)
        return TranscriptTurn(
            role=role_of(role),
            text=self.content,
            turn_id=self.id,
            participant_id=self.participant_id or role,
            start_ms=self.begin_offset_millis,
            end_ms=self.end_offset_millis,
            vendor_sentiment=vendor_sentiment(self.sentiment),
            attributes=attributes,
            place=place,
        )


class _Participant(AmazonRecord):
    participant_id: Text = ""
    participant_role: Text = ""
    display_name: Text = ""


class _Categories(AmazonRecord):
    matched_categories: tuple[Text, ...] = ()


class _CallSentiment(AmazonRecord):
    overall_sentiment: dict[str, Score] = Field(default_factory=dict)


class _CallCharacteristics(AmazonRecord):
    sentiment: _CallSentiment = _CallSentiment()


class _CustomerMetadata(AmazonRecord):
    contact_id: Text = ""


class _Call(AmazonRecord):
    channel: Text = "VOICE"
    language_code: Text = ""
    customer_metadata: _CustomerMetadata = _CustomerMetadata()
    job_name: Text = ""
    participants: tuple[_Participant, ...] = ()
    categories: _Categories = _Categories()
    conversation_characteristics: _CallCharacteristics = _CallCharacteristics()
    transcript: tuple[SpokenItem, ...]


def read_call(document: Document, options: ReadOptions, format_name: str) -> Transcript:
    """Read an analysed call of Contact Lens or Transcribe Call Analytics.

    Raises:
        InvalidRequestError: If it does not have their shape.
    """
    call = read_record(_Call, document.record)
    roles = {one.participant_id: one.participant_role for one in call.participants}
    return assemble(
        (item.turn(roles, f"Transcript[{i}]") for i, item in enumerate(call.transcript)),
        conversation_id=call.customer_metadata.contact_id or call.job_name or document.name,
        format_name=format_name,
        options=options,
        channel=call.channel,
        language=call.language_code,
        names={one.participant_id: one.display_name for one in call.participants},
        vendor_sentiment=_by_role(call.conversation_characteristics.sentiment.overall_sentiment),
        attributes=_attributes(call.categories.matched_categories),
    )


def _by_role(scores: Mapping[str, float | None]) -> dict[str, VendorSentiment]:
    return {
        role_of(role).value: VendorSentiment("", scaled(score, span=SCORE_SPAN))
        for role, score in scores.items()
        if score is not None
    }


def _attributes(categories: Iterable[str]) -> dict[str, object]:
    return {"categories": list(categories)} if categories else {}


class _Segment(AmazonRecord):
    """A turn, or the categories that a turn brought."""

    transcript: SpokenItem | None = None
    categories: _Categories = _Categories()


class _Segments(AmazonRecord):
    segments: tuple[_Segment, ...]
    contact_id: Text = ""
    next_token: Text = ""


def _read_segments(document: Document, options: ReadOptions) -> Iterator[Transcript]:
    page = read_record(_Segments, document.record)
    said = (
        segment.transcript.turn({}, f"Segments[{i}].Transcript")
        for i, segment in enumerate(page.segments)
        if segment.transcript is not None
    )
    categories = [name for s in page.segments for name in s.categories.matched_categories]
    more = TranscriptWarning(
        TranscriptWarningCode.INCOMPLETE,
        "There is another page (NextToken); join the Segments of all pages in one document.",
    )
    yield assemble(
        said,
        conversation_id=page.contact_id or document.name,
        format_name="contact-lens-realtime",
        options=options,
        channel="VOICE",
        warnings=[more] if page.next_token else [],
        attributes=_attributes(dict.fromkeys(categories)),
    )


class _ItemId(AmazonRecord):
    id: Text = ""


class _ItemGroup(AmazonRecord):
    """Messages with one sentiment."""

    progressive_score: Score = None
    """Of the chat so far, unlike the label."""
    sentiment: Text = ""
    transcript_items: tuple[_ItemId, ...] = ()


class _ChatItem(AmazonRecord):
    id: Text = ""
    type: Text = "MESSAGE"
    content_type: Text = "text/plain"
    participant_id: Text = ""
    participant_role: Text = ""
    content: Text = ""
    absolute_time: EpochMs | None = None
    redaction: _Redaction = _Redaction()

    def said(self, group: _ItemGroup | None, place: str) -> Said:
        turn = TranscriptTurn(
            role=role_of(self.participant_role),
            text=self.content,
            turn_id=self.id,
            participant_id=self.participant_id or self.participant_role,
            start_ms=self.absolute_time,
            vendor_sentiment=vendor_sentiment(group.sentiment) if group else None,
            attributes=(
                {"progressive_score": scaled(group.progressive_score, span=SCORE_SPAN)}
                if group and group.progressive_score is not None
                else {}
            ),
            redactions=tuple((s.begin, s.end) for s in self.redaction.character_offsets),
            place=place,
        )
        if self.type == "EVENT":
            return SkippedTurn(SkipReason.EVENT, turn)
        if self.type != "MESSAGE" or not self.content_type.startswith("text/"):
            return SkippedTurn(SkipReason.NOT_TEXT, turn)
        return turn


class _OverallSentiment(AmazonRecord):
    details_by_participant_role: dict[str, Score] = Field(default_factory=dict)


class _ChatSentiment(AmazonRecord):
    details_by_transcript_item_group: tuple[_ItemGroup, ...] = ()
    overall_sentiment: _OverallSentiment = _OverallSentiment()


class _ChatCharacteristics(AmazonRecord):
    sentiment: _ChatSentiment = _ChatSentiment()


class _Chat(AmazonRecord):
    channel: Text = "CHAT"
    language_code: Text = ""
    customer_metadata: _CustomerMetadata = _CustomerMetadata()
    participants: tuple[_Participant, ...] = ()
    categories: _Categories = _Categories()
    conversation_characteristics: _ChatCharacteristics = _ChatCharacteristics()
    transcript: tuple[_ChatItem, ...]


def _read_chat(document: Document, options: ReadOptions) -> Iterator[Transcript]:
    chat = read_record(_Chat, document.record)
    sentiment = chat.conversation_characteristics.sentiment
    group_of = {
        item.id: group
        for group in sentiment.details_by_transcript_item_group
        for item in group.transcript_items
    }
    yield assemble(
        (
            item.said(group_of.get(item.id), f"Transcript[{index}]")
            for index, item in enumerate(chat.transcript)
        ),
        conversation_id=chat.customer_metadata.contact_id or document.name,
        format_name="contact-lens-chat",
        options=options,
        clock=Clock.EPOCH,
        channel=chat.channel,
        language=chat.language_code,
        names={one.participant_id: one.display_name for one in chat.participants},
        vendor_sentiment=_by_role(sentiment.overall_sentiment.details_by_participant_role),
        attributes=_attributes(chat.categories.matched_categories),
    )


def _is_chat(record: Mapping[str, object]) -> bool:
    if "Transcript" not in record:
        return False
    first = first_of(record["Transcript"])
    return record.get("Channel") == "CHAT" or "AbsoluteTime" in first


def _is_call(record: Mapping[str, object]) -> bool:
    known = {"CustomerMetadata", "ContentMetadata", "Participants"} & set(record)
    return (
        bool(known)
        and isinstance(record.get("Transcript"), list)
        and not _is_chat(record)
        and ("CustomerMetadata" in record or "ParticipantId" in first_of(record["Transcript"]))
    )


CALL: Final = json_format(
    "contact-lens",
    "Amazon Connect Contact Lens, analysed call",
    "`Transcript[].ParticipantId` beside `CustomerMetadata` or `Participants`",
    _is_call,
    lambda document, options: [read_call(document, options, "contact-lens")],
)
CHAT: Final = json_format(
    "contact-lens-chat",
    "Amazon Connect Contact Lens, analysed chat",
    "`Transcript[].AbsoluteTime`, or `Transcript` with `Channel` CHAT",
    _is_chat,
    _read_chat,
)
REALTIME: Final = json_format(
    "contact-lens-realtime",
    "Amazon Connect Contact Lens, real-time segments",
    "`Segments[].Transcript`",
    lambda record: bool(set(first_of(record.get("Segments"))) & {"Transcript", "Categories"}),
    _read_segments,
)
