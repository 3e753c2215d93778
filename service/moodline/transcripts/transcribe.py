"""Amazon Transcribe Call Analytics: finished jobs, and the events of a stream.

Source: Amazon Transcribe Developer Guide, "Post-call analytics output" and "Real-time Call
Analytics output".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from moodline.errors import InvalidRequestError
from moodline.transcripts.assembly import Said, assemble
from moodline.transcripts.contact_lens import AmazonRecord, read_call
from moodline.transcripts.reading import (
    ReadItem,
    ReadOptions,
    Sample,
    TranscriptFormat,
    TranscriptSource,
    first_of,
    json_format,
    read_documents,
)
from moodline.transcripts.records import Milliseconds, Text, read_record
from moodline.transcripts.transcript import (
    SkippedTurn,
    SkipReason,
    TranscriptTurn,
    TranscriptWarning,
    TranscriptWarningCode,
    UnreadableItem,
)
from moodline.transcripts.vocabulary import role_of, vendor_sentiment

_EVENTS: Final = frozenset({"UtteranceEvent", "CategoryEvent"})


class _Utterance(AmazonRecord):
    utterance_id: Text = ""
    participant_role: Text = ""
    is_partial: bool = False
    transcript: Text = ""
    begin_offset_millis: Milliseconds | None = None
    end_offset_millis: Milliseconds | None = None
    sentiment: Text = ""

    def turn(self, place: str) -> TranscriptTurn:
        return TranscriptTurn(
            role=role_of(self.participant_role),
            text=self.transcript,
            turn_id=self.utterance_id,
            participant_id=self.participant_role,
            start_ms=self.begin_offset_millis,
            end_ms=self.end_offset_millis,
            vendor_sentiment=vendor_sentiment(self.sentiment),
            place=place,
        )


class _CategoryEvent(AmazonRecord):
    matched_categories: tuple[Text, ...] = ()


class _Event(AmazonRecord):
    utterance_event: _Utterance | None = None
    category_event: _CategoryEvent = _CategoryEvent()


def _read_stream(source: TranscriptSource, options: ReadOptions) -> Iterator[ReadItem]:
    """Read the events of one call, one object a line.

    An event that cannot be read ends the call: what it said is missing.
    """
    events: list[tuple[str, _Event]] = []
    problem: UnreadableItem | None = None
    for document in read_documents(source, options):
        if isinstance(document, UnreadableItem):
            problem = problem or document
            continue
        try:
            events.append((document.place, read_record(_Event, document.record)))
        except InvalidRequestError as error:
            problem = problem or UnreadableItem(source.name, document.place, error.violations)
    if problem:
        yield problem
        return
    categories = [name for _, event in events for name in event.category_event.matched_categories]
    said, open_count = _finals(
        [(place, event.utterance_event) for place, event in events if event.utterance_event]
    )
    unfinished = TranscriptWarning(
        TranscriptWarningCode.INCOMPLETE,
        f"{open_count} utterances are partial to the end of the stream; their last words stand.",
    )
    yield assemble(
        said,
        conversation_id=source.stem,
        format_name="transcribe-stream",
        options=options,
        channel="VOICE",
        warnings=[unfinished] if open_count else [],
        attributes={"categories": list(dict.fromkeys(categories))} if categories else {},
    )


def _finals(utterances: list[tuple[str, _Utterance]]) -> tuple[list[Said], int]:
    """Skip partial utterances that a later event of the same id replaces."""
    last_of = {one.utterance_id: place for place, one in utterances if one.utterance_id}
    said: list[Said] = []
    open_count = 0
    for place, one in utterances:
        is_replaced = one.is_partial and last_of.get(one.utterance_id, place) != place
        turn = one.turn(place)
        said.append(SkippedTurn(SkipReason.PARTIAL, turn) if is_replaced else turn)
        open_count += one.is_partial and not is_replaced
    return said, open_count


def _is_job(record: Mapping[str, object]) -> bool:
    first = first_of(record.get("Transcript"))
    return (
        "CustomerMetadata" not in record
        and "ParticipantRole" in first
        and "ParticipantId" not in first
        and "AbsoluteTime" not in first
    )


def _is_stream(sample: Sample) -> bool:
    return sample.record is not None and bool(_EVENTS & set(sample.record))


JOB: Final = json_format(
    "transcribe",
    "Amazon Transcribe Call Analytics, finished job",
    "`Transcript[].ParticipantRole` without `ParticipantId`",
    _is_job,
    lambda document, options: [read_call(document, options, "transcribe")],
)
STREAM: Final = TranscriptFormat(
    name="transcribe-stream",
    title="Amazon Transcribe Call Analytics, events of a stream",
    identified_by="`UtteranceEvent` or `CategoryEvent`, one object a line",
    detect=_is_stream,
    read=_read_stream,
)
