"""Transcripts in the formats of other systems, read into conversations (docs/formats.md).

    with open_source(path) as source:
        for item in read_transcripts(source):
            if isinstance(item, Transcript):
                print(item.conversation.conversation_id)
            else:
                print(item)  # what is wrong, where and what to do

One module a format, each with its entries in `registry`. Nothing here scores anything.
"""

from moodline.transcripts.reading import (
    ReadOptions,
    TranscriptFormat,
    TranscriptSource,
    open_source,
)
from moodline.transcripts.registry import load_formats, read_transcripts
from moodline.transcripts.transcript import (
    Participant,
    SkippedTurn,
    SkipReason,
    SpeakerRole,
    Transcript,
    TranscriptTurn,
    TranscriptWarning,
    UnreadableItem,
    VendorSentiment,
)

__all__ = [
    "Participant",
    "ReadOptions",
    "SkipReason",
    "SkippedTurn",
    "SpeakerRole",
    "Transcript",
    "TranscriptFormat",
    "TranscriptSource",
    "TranscriptTurn",
    "TranscriptWarning",
    "UnreadableItem",
    "VendorSentiment",
    "load_formats",
    "open_source",
    "read_transcripts",
]
