"""Twilio Conversational Intelligence: a transcript with its sentences.

Source: Twilio documentation, Conversational Intelligence, Transcripts, Sentences and
OperatorResults resources.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from moodline.errors import FieldViolation
from moodline.transcripts.assembly import assemble
from moodline.transcripts.reading import Document, ReadOptions, first_of, json_format, refuse
from moodline.transcripts.records import EpochMs, Record, SecondsAsMs, Text, read_record
from moodline.transcripts.transcript import (
    Transcript,
    TranscriptTurn,
    TranscriptWarning,
    TranscriptWarningCode,
    VendorSentiment,
)
from moodline.transcripts.vocabulary import role_of, vendor_sentiment

_SENTIMENT_OPERATOR: Final = "conversation-classify"


class _Sentence(Record):
    media_channel: Text = ""
    sentence_index: int = 0
    start_time: SecondsAsMs | None = None
    end_time: SecondsAsMs | None = None
    transcript: Text = ""
    sid: Text = ""


class _Participant(Record):
    channel_participant: Text = ""
    role: Text = ""
    user_id: Text = ""
    full_name: Text = ""


class _Channel(Record):
    type: Text = "voice"
    participants: tuple[_Participant, ...] = ()


class _Resource(Record):
    sid: Text = ""
    language_code: Text = ""
    media_start_time: EpochMs | None = None
    customer_key: Text = ""
    channel: _Channel = _Channel()


class _Page(Record):
    next_page_url: Text = ""


class _OperatorResult(Record):
    operator_type: Text = ""
    name: Text = ""
    predicted_label: Text = ""


class _Export(Record):
    transcript: _Resource = _Resource()
    sentences: tuple[_Sentence, ...] = ()
    operator_results: tuple[_OperatorResult, ...] = ()
    meta: _Page = _Page()


def _read(document: Document, options: ReadOptions) -> Iterator[Transcript]:
    if "sentences" not in document.record:
        raise refuse(
            FieldViolation(
                "sentences",
                "is missing: operator results alone hold no words; put the pages of sentences and "
                "the transcript resource into the document",
            )
        )
    export = read_record(_Export, document.record)
    participants = {one.channel_participant: one for one in export.transcript.channel.participants}
    nobody = _Participant()
    more = TranscriptWarning(
        TranscriptWarningCode.INCOMPLETE,
        "There is another page (meta.next_page_url); join the sentences of all pages.",
    )

    def turn(index: int, sentence: _Sentence) -> TranscriptTurn:
        speaker = participants.get(sentence.media_channel, nobody)
        return TranscriptTurn(
            role=role_of(speaker.role),
            text=sentence.transcript,
            turn_id=sentence.sid,
            participant_id=speaker.user_id or sentence.media_channel,
            start_ms=sentence.start_time,
            end_ms=sentence.end_time,
            place=f"sentences[{index}]",
        )

    in_order = sorted(enumerate(export.sentences), key=lambda pair: pair[1].sentence_index)
    yield assemble(
        (turn(index, sentence) for index, sentence in in_order),
        conversation_id=export.transcript.sid or document.name,
        format_name="twilio",
        options=options,
        begin_ms=export.transcript.media_start_time,
        channel=export.transcript.channel.type,
        language=export.transcript.language_code,
        names={
            one.user_id or one.channel_participant: one.full_name for one in participants.values()
        },
        warnings=[more] if export.meta.next_page_url else [],
        vendor_sentiment=_overall(export.operator_results),
    )


def _overall(results: tuple[_OperatorResult, ...]) -> dict[str, VendorSentiment]:
    """Return the label of the sentiment operator, if its results are in the document."""
    for result in results:
        if result.operator_type == _SENTIMENT_OPERATOR and "sentiment" in result.name.casefold():
            sentiment = vendor_sentiment(result.predicted_label)
            return {"conversation": sentiment} if sentiment else {}
    return {}


def _is_export(record: Mapping[str, object]) -> bool:
    sentence = first_of(record.get("sentences"))
    return {"transcript", "media_channel"} <= set(sentence) or "operator_results" in record


TWILIO: Final = json_format(
    "twilio",
    "Twilio Conversational Intelligence, transcript and sentences",
    "`sentences[].transcript` with `media_channel`, best beside the `transcript` resource",
    _is_export,
    _read,
)
