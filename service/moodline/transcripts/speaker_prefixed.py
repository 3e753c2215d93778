"""Text whose lines begin with the speaker, as a file of its own or inside a JSON object.

Source: Microsoft's sample transcripts for call-center analytics, for the JSON object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import ConfigDict
from pydantic.alias_generators import to_pascal

from moodline.errors import InvalidRequestError
from moodline.transcripts.assembly import Said, assemble
from moodline.transcripts.labels import LabelRule
from moodline.transcripts.reading import (
    Document,
    ReadItem,
    ReadOptions,
    Sample,
    TranscriptFormat,
    TranscriptSource,
    json_format,
    read_text,
)
from moodline.transcripts.records import EpochMs, Record, Text, read_record
from moodline.transcripts.transcript import (
    SkippedTurn,
    SkipReason,
    Transcript,
    TranscriptTurn,
    UnreadableItem,
)
from moodline.transcripts.vocabulary import role_of

_MIN_LABELLED_LINES: Final = 2


class _Wrapper(Record):
    model_config = ConfigDict(alias_generator=to_pascal)

    conversation_id: Text = ""
    client_id: Text = ""
    start_time: EpochMs | None = None
    language: Text = ""
    channel: Text = ""
    content: Text


def _read_document(document: Document, options: ReadOptions) -> Iterator[Transcript]:
    wrapper = read_record(_Wrapper, document.record)
    yield assemble(
        split_turns(wrapper.content, options),
        conversation_id=wrapper.conversation_id or document.name,
        format_name="speaker-prefixed-json",
        options=options,
        begin_ms=wrapper.start_time,
        is_ordered=True,
        channel=wrapper.channel,
        language=wrapper.language,
        attributes={"client_id": wrapper.client_id} if wrapper.client_id else {},
    )


def _read_file(source: TranscriptSource, options: ReadOptions) -> Iterator[ReadItem]:
    try:
        text = read_text(source, options)
    except InvalidRequestError as error:
        yield UnreadableItem(source.name, "", error.violations)
        return
    yield assemble(
        split_turns(text, options),
        conversation_id=source.stem,
        format_name="speaker-prefixed",
        options=options,
        is_ordered=True,
    )


def split_turns(text: str, options: ReadOptions) -> Iterator[Said]:
    """Yield the turns of a text: from each label to the next; what stands before is skipped."""
    rule = LabelRule.of(text, options)
    label, start_ms, first_line = "", None, 1
    lines: list[str] = []
    for number, line in enumerate([*text.splitlines(), None], start=1):
        found = rule.split(line) if line is not None else None
        if line is not None and found is None:
            lines.append(line.strip())
            continue
        said = "\n".join(lines).strip()
        turn = TranscriptTurn(
            role=role_of(label),
            text=said,
            participant_id=label,
            start_ms=start_ms,
            place=f"line {first_line}",
        )
        if label:
            yield turn
        elif said:
            yield SkippedTurn(SkipReason.NO_SPEAKER, turn)
        if found is not None:
            label, start_ms, first_line, lines = found.label, found.start_ms, number, [found.text]


def _is_wrapper(record: Mapping[str, object]) -> bool:
    content = record.get("Content")
    return isinstance(content, str) and _has_labels(content, ReadOptions())


def _is_text(sample: Sample) -> bool:
    is_other = sample.record is not None or sample.text.startswith("WEBVTT")
    return not is_other and _has_labels(sample.text, sample.options)


def _has_labels(text: str, options: ReadOptions) -> bool:
    """Tell whether at least two lines begin with at least two labels that count."""
    rule = LabelRule.of(text, options)
    found = [line.label for line in map(rule.split, text.splitlines()) if line is not None]
    return len(found) >= _MIN_LABELLED_LINES and len(set(found)) >= _MIN_LABELLED_LINES


WRAPPED: Final = json_format(
    "speaker-prefixed-json",
    "Speaker-prefixed text in a JSON object",
    "`Content` with lines such as `Agent: ...` or `**Agent:** ...`",
    _is_wrapper,
    _read_document,
)
PLAIN: Final = TranscriptFormat(
    name="speaker-prefixed",
    title="Speaker-prefixed text",
    identified_by="lines such as `Agent: ...` of two speakers or more",
    detect=_is_text,
    read=_read_file,
)
