"""The formats that are known, which of them a source is in, and reading by it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Final

from moodline.errors import FieldViolation, InvalidRequestError, SettingsError
from moodline.transcripts import (
    azure,
    chatwoot,
    contact_lens,
    csv_table,
    genesys,
    google_ccai,
    intercom,
    jsonl,
    parquet,
    speaker_prefixed,
    transcribe,
    twilio,
    vcon,
    webvtt,
    zendesk,
)
from moodline.transcripts.reading import (
    ReadItem,
    ReadOptions,
    Sample,
    TranscriptFormat,
    TranscriptSource,
    refuse,
    take_sample,
)
from moodline.transcripts.transcript import UnreadableItem

ENTRY_POINT_GROUP: Final = "moodline.transcript_formats"

OWN_FORMATS: Final[tuple[TranscriptFormat, ...]] = (
    jsonl.JSONL,
    parquet.PARQUET,
    contact_lens.CALL,
    contact_lens.CHAT,
    contact_lens.REALTIME,
    transcribe.JOB,
    transcribe.STREAM,
    google_ccai.GOOGLE_CCAI,
    genesys.GENESYS,
    twilio.TWILIO,
    zendesk.ZENDESK,
    intercom.INTERCOM,
    chatwoot.CHATWOOT,
    azure.AZURE,
    vcon.VCON,
    speaker_prefixed.WRAPPED,
    webvtt.WEBVTT,
    csv_table.CSV,
    # Any text may look like it, so it is asked last.
    speaker_prefixed.PLAIN,
)

_NO_TRANSCRIPTS: Final = (
    (b"\x1f\x8b", "compressed by gzip", "unpack it"),
    (b"BZh", "compressed by bzip2", "unpack it"),
    (b"\xfd7zXZ\x00", "compressed by xz", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it"),
    (b"PK\x03\x04", "a ZIP archive or an Office document", "unpack it, or save it as CSV or text"),
    (b"%PDF-", "a PDF", "save it as text"),
)
"""Beginnings of files that people mistake for transcripts: what they are, and the remedy."""
_MAX_TOLD_KEYS: Final = 12
# A key that is a name may be told; anything else may be what a customer said.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,40}")


def load_formats() -> tuple[TranscriptFormat, ...]:
    """Return the formats of installed packages, which may stand for one of ours, and then ours.

    An entry point in the group `moodline.transcript_formats` is a `TranscriptFormat`, or a
    function with the signature of `TranscriptFormat.read`; a function is read by only when its
    format is named.

    Raises:
        SettingsError: If an installed one cannot be loaded.
    """
    installed = tuple(_loaded(point) for point in metadata.entry_points(group=ENTRY_POINT_GROUP))
    names = {format_.name for format_ in installed}
    return (*installed, *(own for own in OWN_FORMATS if own.name not in names))


def _loaded(point: metadata.EntryPoint) -> TranscriptFormat:
    try:
        loaded = point.load()
    # Of a package that somebody else wrote.
    except Exception as error:
        raise _not_loaded(point, f"{type(error).__name__}: {error}") from error
    if isinstance(loaded, TranscriptFormat):
        return loaded
    if not callable(loaded):
        raise _not_loaded(point, "it is neither a TranscriptFormat nor a function")
    return TranscriptFormat(
        name=point.name,
        title=f"of {point.value}",
        identified_by="nothing; it must be named",
        detect=lambda _: False,
        read=loaded,
    )


def _not_loaded(point: metadata.EntryPoint, problem: str) -> SettingsError:
    return SettingsError(
        f"The transcript format {point.name} of {point.value} cannot be loaded: {problem}. Correct "
        "or uninstall the package."
    )


def format_named(name: str, formats: Sequence[TranscriptFormat]) -> TranscriptFormat:
    """Return a format.

    Raises:
        InvalidRequestError: If none has the name.
    """
    for format_ in formats:
        if format_.name == name:
            return format_
    known = ", ".join(format_.name for format_ in formats)
    raise refuse(FieldViolation("format", f"is none of {known}; use one of these"))


def detect_format(sample: Sample, formats: Sequence[TranscriptFormat]) -> TranscriptFormat:
    """Return the first format that recognises the beginning of a source.

    Raises:
        InvalidRequestError: If none does, with what was looked for.
    """
    for format_ in formats:
        if format_.detect(sample):
            return format_
    if sample.is_empty:
        raise refuse(FieldViolation("", "is empty; there is nothing to read"))
    if sample.json_problem:
        raise refuse(FieldViolation("", sample.json_problem))
    for beginning, what, remedy in _NO_TRANSCRIPTS:
        if sample.head.startswith(beginning):
            raise refuse(FieldViolation("", f"is {what}; {remedy}"))
    looked_for = "; ".join(f"{one.name}: {one.identified_by}" for one in formats)
    raise refuse(
        FieldViolation(
            "",
            f"is in no known format. Found {_found(sample)}. Name the format, or add your own "
            "(docs/formats.md)",
        ),
        # By itself, so that it can be told once for many files.
        FieldViolation("", f"looked for {looked_for}"),
    )


def _found(sample: Sample) -> str:
    if sample.record is None:
        return "text, but no JSON object with keys" if sample.text else "bytes that are no text"
    keys = [key for key in sample.record if _NAME.fullmatch(key)][:_MAX_TOLD_KEYS]
    return f"a JSON object with {', '.join(keys)}" if keys else "a JSON object of unknown keys"


def read_transcripts(
    source: TranscriptSource,
    *,
    formats: Sequence[TranscriptFormat] = OWN_FORMATS,
    format_name: str = "",
    options: ReadOptions | None = None,
) -> Iterator[ReadItem]:
    """Read all conversations of a source, one at a time.

    Nothing in the source ends the reading: what cannot be read is yielded as an `UnreadableItem`.

    Args:
        source: From `open_source`, or made of a stream.
        formats: Those that may be detected or named; `load_formats()` adds those of installed
            packages.
        format_name: The format; empty to detect it by content.
        options: What the source itself does not tell.

    Raises:
        InvalidRequestError: If no format has the name.
    """
    options = options or ReadOptions()
    named = format_named(format_name, formats) if format_name else None
    return _items(source, named, formats, options)


def _items(
    source: TranscriptSource,
    named: TranscriptFormat | None,
    formats: Sequence[TranscriptFormat],
    options: ReadOptions,
) -> Iterator[ReadItem]:
    format_name = named.name if named else "detection"
    try:
        format_ = named or detect_format(take_sample(source, options), formats)
        format_name = format_.name
        yield from format_.read(source, options)
    except InvalidRequestError as error:
        yield UnreadableItem(source.name, "", error.violations)
    except OSError as error:
        yield _failed(source, f"cannot be read: {error.strerror or type(error).__name__}")
    # A reader is code of others, too; its message may quote what it read.
    except Exception as error:  # noqa: BLE001
        problem = f"made the reader of {format_name} fail with {type(error).__name__}; report it"
        yield _failed(source, problem)


def _failed(source: TranscriptSource, problem: str) -> UnreadableItem:
    return UnreadableItem(source.name, "", (FieldViolation("", problem),))
