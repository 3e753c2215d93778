"""Reads the conversations of a job, in an order that is the same at every run."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final

from moodline.errors import FieldViolation
from moodline.jobs.answers import Refused
from moodline.jobs.errors import JobError
from moodline.jobs.fields import duration_of
from moodline.jobs.inputs import InputFile
from moodline.transcripts import (
    ReadOptions,
    Transcript,
    TranscriptFormat,
    TranscriptSource,
    UnreadableItem,
    read_transcripts,
)
from moodline.transcripts.role_doctor import RoleDoctor, corrected
from moodline.v1.conversation_pb2 import Conversation, Turn

UNREADABLE: Final = "UNREADABLE"
NOT_A_VCON: Final = "NOT_A_VCON"


@dataclass(frozen=True, slots=True)
class Reading:
    """How the inputs are read.

    Attributes:
        formats: Those that may be detected or named.
        format_name: The format of all inputs; empty to detect it file by file.
        options: What the files themselves do not tell.
        are_roles_corrected: Whether turns get the roles that their words speak for, where these
            are probably wrong; a warning stands in the result either way.
        is_vcon_required: Whether what is no vCon is refused, since results shall go into it.
    """

    formats: Sequence[TranscriptFormat]
    format_name: str = ""
    options: ReadOptions = field(default_factory=ReadOptions)
    are_roles_corrected: bool = False
    is_vcon_required: bool = False


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """How far a source has been scored.

    Attributes:
        item_count: Conversations from its beginning, refused ones included.
        digest: Of these, as `chained`.
        is_finished: Whether the source held no more.
    """

    item_count: int = 0
    digest: str = ""
    is_finished: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One conversation of a job, or something in a source that cannot be read as one.

    Attributes:
        source: Name of the file.
        number: Which of the source it is, from 1.
        place: Where in the source, for people.
        conversation_id: If it is known.
        digest: Of the content.
        message: The serialized `moodline.v1.Conversation`; empty if there is none.
        transcript: What was read; None if nothing could be.
        refusal: Why it is not submitted.
        byte_position: Bytes of all inputs that had been read.
    """

    source: str
    number: int
    place: str
    conversation_id: str
    digest: bytes
    message: bytes
    transcript: Transcript | None
    refusal: Refused | None
    byte_position: int


@dataclass(frozen=True, slots=True)
class SourceEnd:
    """A source holds no more items.

    Attributes:
        source: Name of the file.
        item_count: How many it held.
    """

    source: str
    item_count: int


def chained(digest: str, item: Item) -> str:
    """Return the digest of some items of a source and one more."""
    return hashlib.sha256(digest.encode() + item.digest).hexdigest()


def read_items(
    inputs: Sequence[InputFile],
    reading: Reading,
    known: Mapping[str, SourceProgress],
) -> Iterator[Item | SourceEnd]:
    """Yield what has not been scored yet, source by source.

    Args:
        inputs: The files, in order.
        reading: How to read them.
        known: How far each source was scored by earlier runs; that much of it is read, compared
            and left out.

    Raises:
        JobError: If what was scored is not there any more, or is something else.
    """
    reader = _Reader(reading)
    byte_base = 0
    for file in inputs:
        progress = known.get(file.name, SourceProgress())
        digest, count = "", 0
        for item in reader.items(file, byte_base):
            count = item.number
            if count > progress.item_count:
                if progress.is_finished:
                    raise _changed(file.name)
                yield item
                continue
            digest = chained(digest, item)
            if count == progress.item_count and digest != progress.digest:
                raise _changed(file.name)
        if count < progress.item_count:
            raise _changed(file.name)
        if not progress.is_finished:
            yield SourceEnd(file.name, count)
        byte_base += file.byte_count or 0


def _changed(source: str) -> JobError:
    return JobError(
        f"{source} is not what it was when a part of it was scored; restore it and go on, or begin "
        "again with --overwrite."
    )


class _Reader:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._doctor = RoleDoctor()

    def items(self, file: InputFile, byte_base: int) -> Iterator[Item]:
        """Yield the items of one file; what goes wrong is an item, too."""
        try:
            path = file.path
            stream = sys.stdin.buffer if path is None else path.open("rb")
        except OSError as error:
            problem = f"cannot be opened: {error.strerror or type(error).__name__}"
            yield _unreadable(file.name, 1, (FieldViolation("", problem),), byte_base)
            return
        if path is None:
            yield from self._items_of(file.name, stream, None, byte_base)
            return
        with stream:
            yield from self._items_of(file.name, stream, path, byte_base)

    def _items_of(
        self, name: str, stream: BinaryIO, path: Path | None, byte_base: int
    ) -> Iterator[Item]:
        reading = self._reading
        source = TranscriptSource(name, stream, path=path)
        # Standard input and pipes, such as `<(zcat calls.gz)`, do not tell how far they were read.
        is_file = path is not None and stream.seekable()
        read = read_transcripts(
            source,
            formats=reading.formats,
            format_name=reading.format_name,
            options=reading.options,
        )
        for number, entry in enumerate(read, 1):
            position = byte_base + (stream.tell() if is_file else 0)
            if isinstance(entry, UnreadableItem):
                yield _unreadable(
                    name,
                    number,
                    entry.violations,
                    position,
                    place=entry.place,
                    conversation_id=entry.conversation_id,
                )
            else:
                yield self._item(name, number, entry, position)

    def _item(self, source: str, number: int, transcript: Transcript, position: int) -> Item:
        transcript = self._examined(transcript)
        try:
            message = conversation_message(transcript).SerializeToString(deterministic=True)
        except ValueError:
            violation = FieldViolation("turns", "hold a character or a time that is none")
            return _unreadable(source, number, (violation,), position)
        refusal = None
        if self._reading.is_vcon_required and transcript.document is None:
            problem = "is no vCon, so that no analysis can be added to it; write another format"
            refusal = Refused(NOT_A_VCON, (FieldViolation("", problem),))
        return Item(
            source=source,
            number=number,
            place=_place(number),
            conversation_id=transcript.conversation_id,
            digest=hashlib.sha256(message).digest(),
            message=message,
            transcript=transcript,
            refusal=refusal,
            byte_position=position,
        )

    def _examined(self, transcript: Transcript) -> Transcript:
        """Look for roles that are probably wrong; tell it, and correct them if that is wanted."""
        diagnosis = self._doctor.diagnose(transcript)
        if diagnosis.warning is None:
            return transcript
        if self._reading.are_roles_corrected:
            return corrected(transcript, diagnosis)
        return replace(transcript, warnings=(*transcript.warnings, diagnosis.warning))


def _place(number: int) -> str:
    return f"conversation {number}"


def _unreadable(
    source: str,
    number: int,
    violations: tuple[FieldViolation, ...],
    position: int,
    *,
    place: str = "",
    conversation_id: str = "",
) -> Item:
    told = "\n".join(f"{v.field}\t{v.description}" for v in violations)
    return Item(
        source=source,
        number=number,
        place=place or _place(number),
        conversation_id=conversation_id,
        digest=hashlib.sha256(f"{place}\n{told}".encode()).digest(),
        message=b"",
        transcript=None,
        refusal=Refused(UNREADABLE, violations),
        byte_position=position,
    )


def conversation_message(transcript: Transcript) -> Conversation:
    """Return a transcript as the request that is scored, turn for turn.

    Raises:
        ValueError: If a text is not Unicode or a time is out of range.
    """
    return Conversation(
        conversation_id=transcript.conversation_id,
        channel=transcript.channel,
        language=transcript.language,
        turns=(
            Turn(
                role=turn.role.domain_role,
                text=turn.text,
                turn_id=turn.turn_id,
                participant_id=turn.participant_id,
                start_offset=duration_of(turn.start_ms),
                end_offset=duration_of(turn.end_ms),
            )
            for turn in transcript.turns
        ),
    )
