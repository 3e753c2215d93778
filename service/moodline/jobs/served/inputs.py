"""What a job reads: conversations of its request, or files below the server's input root."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from moodline.errors import FieldViolation, InputTooLongError, InvalidRequestError
from moodline.jobs.inputs import InputFile, names_of
from moodline.jobs.items import Item, SourceEnd, SourceProgress
from moodline.transcripts import SpeakerRole, Transcript, TranscriptTurn
from moodline.v1.conversation_pb2 import Conversation

MAX_FILES: Final = 100_000
"""Files of one job: a night of a large contact center, and names that fit into memory."""
INLINE_SOURCE: Final = ""
INLINE_FORMAT: Final = "request"


def find_files(root: Path, paths: Sequence[str]) -> list[InputFile]:
    """Return the files that the paths of a request stand for, each once.

    Args:
        root: What they count from, and what nothing may be outside of.
        paths: Files, folders and globs, in the order in which they shall be read.

    Raises:
        InvalidRequestError: With all that is wrong, by path.
    """
    found: dict[Path, InputFile] = {}
    violations = []
    for index, path in enumerate(paths):
        problem = _problem(path) or _add_files(root, path, found)
        if problem:
            violations.append(FieldViolation(f"files.paths[{index}]", problem))
    if violations:
        raise InvalidRequestError(violations)
    return list(found.values())


def _problem(path: str) -> str:
    """Say what is wrong with a path by itself."""
    parts = PurePosixPath(path).parts
    if "\0" in path:
        return "is no path; name a file, a folder or a glob"
    if path.startswith("/") or ".." in parts:
        return "must count from the input root: neither begin with / nor hold .."
    return ""


def _add_files(root: Path, path: str, found: dict[Path, InputFile]) -> str:
    """Add the files of one path; return what is wrong with it."""
    count = 0
    for name in names_of(path, root=root):
        count += 1
        file = InputFile(os.path.normpath(name), None, root)
        try:
            place = file.path
        except OSError:
            return "stands for something outside of the input root, through a symbolic link"
        if place is None or not place.is_file():
            return "stands for something that is no file"
        if place in found:
            continue
        if len(found) >= MAX_FILES:
            return f"is beyond the {MAX_FILES} files of a job; create several jobs"
        found[place] = InputFile(file.name, place.stat().st_size, root)
    return "" if count else "stands for nothing below the input root; correct it"


def files_to_json(files: Sequence[InputFile]) -> bytes:
    """Return the names and sizes of files, to be kept."""
    return json.dumps([[file.name, file.byte_count] for file in files]).encode()


def files_from_json(content: bytes, root: Path) -> list[InputFile]:
    """Return the files that `files_to_json` kept."""
    return [InputFile(name, size, root) for name, size in json.loads(content)]


def check_inline_size(byte_count: int, max_byte_count: int) -> None:
    """Refuse conversations that are too large together.

    Raises:
        InputTooLongError: If they are.
    """
    if byte_count > max_byte_count:
        raise InputTooLongError(
            [
                FieldViolation(
                    "inline.conversations",
                    f"have {byte_count} bytes, at most {max_byte_count} are allowed; create "
                    "several jobs, or put them into files",
                )
            ]
        )


def inline_items(
    conversations: Sequence[Conversation], known: Mapping[str, SourceProgress]
) -> Iterator[Item | SourceEnd]:
    """Yield the conversations of a request that are not scored yet, and their end."""
    progress = known.get(INLINE_SOURCE, SourceProgress())
    for number, conversation in enumerate(conversations, 1):
        if number <= progress.item_count:
            continue
        message = conversation.SerializeToString(deterministic=True)
        yield Item(
            source=INLINE_SOURCE,
            number=number,
            place=f"conversations[{number - 1}]",
            conversation_id=conversation.conversation_id,
            digest=hashlib.sha256(message).digest(),
            message=message,
            transcript=_transcript(conversation),
            refusal=None,
            byte_position=0,
        )
    if not progress.is_finished:
        yield SourceEnd(INLINE_SOURCE, len(conversations))


def _transcript(conversation: Conversation) -> Transcript:
    """Return a conversation as tables show it; not validated yet, so it may hold anything."""
    roles = set(SpeakerRole)
    return Transcript(
        conversation_id=conversation.conversation_id,
        format_name=INLINE_FORMAT,
        channel=conversation.channel,
        language=conversation.language,
        turns=tuple(
            TranscriptTurn(
                role=SpeakerRole(turn.role) if turn.role in roles else SpeakerRole.UNKNOWN,
                text=turn.text,
                turn_id=turn.turn_id,
                participant_id=turn.participant_id,
                start_ms=turn.start_offset.ToMilliseconds()
                if turn.HasField("start_offset")
                else None,
                end_ms=turn.end_offset.ToMilliseconds() if turn.HasField("end_offset") else None,
            )
            for turn in conversation.turns
        ),
    )
