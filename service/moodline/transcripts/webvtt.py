"""WebVTT: subtitles whose voice tags say who speaks.

Source: W3C, WebVTT: The Web Video Text Tracks Format. That the class of a voice tag is the role is
our convention.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import regex
import webvtt
from webvtt.errors import MalformedCaptionError, MalformedFileError

from moodline.errors import FieldViolation, InvalidRequestError
from moodline.transcripts.assembly import assemble
from moodline.transcripts.labels import LabelRule
from moodline.transcripts.reading import (
    ReadItem,
    ReadOptions,
    TranscriptFormat,
    TranscriptSource,
    read_text,
)
from moodline.transcripts.transcript import (
    SpeakerRole,
    TranscriptTurn,
    TranscriptWarning,
    TranscriptWarningCode,
    UnreadableItem,
)
from moodline.transcripts.vocabulary import role_of

_VOICE_TAG: Final = regex.compile(r"<v(?P<classes>(?:\.[^\s.>]+)*)(?:[ \t\n]+(?P<name>[^>]*))?>")
_TAG: Final = regex.compile(r"</?[a-z0-9][^>]*>", regex.I)
_TIMING: Final = regex.compile(r"^[^\n]*\d[ \t]*-{1,2}>[ \t]*\d[^\n]*$", regex.M)


def _read(source: TranscriptSource, options: ReadOptions) -> Iterator[ReadItem]:
    try:
        text = read_text(source, options)
        captions = webvtt.from_string(text).captions
    except InvalidRequestError as error:
        yield UnreadableItem(source.name, "", error.violations)
        return
    except (MalformedFileError, MalformedCaptionError):
        # What the library says quotes the cue.
        problem = "is no WebVTT, or holds a time such as 00:75.000; correct it"
        yield UnreadableItem(source.name, "", (FieldViolation("", problem),))
        return
    lost_count = len(_TIMING.findall(text)) - len(captions)
    lost = TranscriptWarning(
        TranscriptWarningCode.CUES_NOT_READ,
        f"{lost_count} cues were not read: their times should look like "
        "00:01:02.500 --> 00:01:04.000.",
    )
    rule = LabelRule.of("\n".join(caption.raw_text for caption in captions), options)
    turns = [turn for number, cue in enumerate(captions, 1) for turn in _turns(cue, number, rule)]
    yield assemble(
        turns,
        conversation_id=source.stem,
        format_name="webvtt",
        options=options,
        is_ordered=True,
        channel="voice",
        warnings=[lost] if lost_count > 0 else [],
    )


def _turns(cue: webvtt.Caption, number: int, rule: LabelRule) -> Iterator[TranscriptTurn]:
    """Yield what is said in a cue: a turn for each voice, all with the times of the cue."""
    whole = TranscriptTurn(
        role=SpeakerRole.UNKNOWN,
        text="",
        start_ms=cue.start_time.in_milliseconds(),
        end_ms=cue.end_time.in_milliseconds(),
        place=f"cue {number}",
    )
    voices = list(_VOICE_TAG.finditer(cue.raw_text))
    unvoiced = _shown(cue.raw_text[: voices[0].start()] if voices else cue.raw_text)
    if unvoiced or not voices:
        said = rule.split(unvoiced)
        if said is None:
            yield replace(whole, text=unvoiced)
        else:
            role = role_of(said.label)
            yield replace(whole, role=role, text=said.text, participant_id=said.label)
    ends = [*(voice.start() for voice in voices[1:]), len(cue.raw_text)]
    for voice, end in zip(voices, ends[: len(voices)], strict=True):
        name = html.unescape(voice["name"] or "").strip()
        words = [word for word in voice["classes"].split(".") if word]
        roles = (role_of(word) for word in (*words, name))
        yield replace(
            whole,
            role=next((r for r in roles if r is not SpeakerRole.UNKNOWN), SpeakerRole.UNKNOWN),
            text=_shown(cue.raw_text[voice.end() : end]),
            participant_id=name or ".".join(words),
        )


def _shown(markup: str) -> str:
    """Return what a viewer reads: no tags, entities decoded, lines joined."""
    return " ".join(html.unescape(_TAG.sub("", markup)).split())


WEBVTT: Final = TranscriptFormat(
    name="webvtt",
    title="WebVTT with voice tags",
    identified_by="first line `WEBVTT`",
    detect=lambda sample: sample.text.startswith("WEBVTT"),
    read=_read,
)
