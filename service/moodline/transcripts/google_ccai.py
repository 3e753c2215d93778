"""Google Conversational Insights: conversations as they are uploaded.

Source: Google Cloud, Conversational Insights, "Conversation data format" (CCAI JSON).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from moodline.transcripts.assembly import Clock, assemble
from moodline.transcripts.reading import Document, ReadOptions, first_of, json_format
from moodline.transcripts.records import Milliseconds, Record, Text, read_record
from moodline.transcripts.transcript import Transcript, TranscriptTurn
from moodline.transcripts.vocabulary import role_of


class _Entry(Record):
    start_timestamp_usec: Milliseconds | None = None
    """In microseconds, whatever the name of its type."""
    text: Text = ""
    role: Text = ""
    user_id: Text = ""


class _Category(Record):
    display_name: Text = ""


class _Information(Record):
    categories: tuple[_Category, ...] = ()


class _Upload(Record):
    entries: tuple[_Entry, ...]
    conversation_info: _Information = _Information()


def _read(document: Document, options: ReadOptions) -> Iterator[Transcript]:
    upload = read_record(_Upload, document.record)
    categories = [category.display_name for category in upload.conversation_info.categories]
    yield assemble(
        (
            TranscriptTurn(
                role=role_of(entry.role),
                text=entry.text,
                participant_id=entry.user_id or entry.role,
                start_ms=(
                    None
                    if entry.start_timestamp_usec is None
                    else round(entry.start_timestamp_usec / 1000)
                ),
                place=f"entries[{index}]",
            )
            for index, entry in enumerate(upload.entries)
        ),
        conversation_id=document.name,
        format_name="google-ccai",
        options=options,
        # May count from anywhere: all that is known is the time since the first entry.
        clock=Clock.EPOCH,
        attributes={"categories": categories} if categories else {},
    )


def _is_upload(record: Mapping[str, object]) -> bool:
    first = first_of(record.get("entries"))
    return "text" in first and bool({"role", "start_timestamp_usec"} & set(first))


GOOGLE_CCAI: Final = json_format(
    "google-ccai",
    "Google Conversational Insights (CCAI), voice and chat",
    "`entries[].text` with `role` or `start_timestamp_usec`",
    _is_upload,
    _read,
)
