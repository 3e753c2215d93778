"""Reads every sample of transcripts, and compares the turns with those that are expected."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from moodline.transcripts import (
    ReadOptions,
    SpeakerRole,
    Transcript,
    TranscriptSource,
    load_formats,
    read_transcripts,
)

SAMPLES: Final = Path(__file__).parents[2] / "tests" / "data" / "transcripts"


@dataclass(frozen=True, slots=True)
class ParsedSample:
    """What became of one file.

    Attributes:
        format_name: As detected; empty if nothing could be read.
        conversation_count: Transcripts in it that were read.
        unreadable_count: Transcripts in it that were refused.
        turn_count: Turns that were read.
        right_turn_count: Of these, with a text and a role that are expected.
    """

    file: str
    format_name: str
    conversation_count: int
    unreadable_count: int
    turn_count: int
    right_turn_count: int


def parse_samples(folder: Path) -> list[ParsedSample]:
    """Read all files of a folder.

    What is expected stands in its folder `expected`: for `NAME.*` in `NAME.json`, else in whichever
    of those files has most turns of the transcript.
    """
    expected = {
        path.stem: _documents(path) for path in sorted((folder / "expected").glob("*.json"))
    }
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix != ".md")
    return [_parsed(path, expected) for path in files]


def _documents(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, list) else [content]


def _parsed(path: Path, expected: Mapping[str, list[dict[str, Any]]]) -> ParsedSample:
    own = expected.get(path.stem)
    roles = own[0].get("options", {}).get("roles", {}) if own else {}
    options = ReadOptions(roles={name: SpeakerRole(role) for name, role in roles.items()})
    with path.open("rb") as stream:
        source = TranscriptSource(path.name, stream, path=path)
        items = list(read_transcripts(source, formats=load_formats(), options=options))
    read = [item for item in items if isinstance(item, Transcript)]
    candidates = [own] if own else list(expected.values())
    return ParsedSample(
        file=path.name,
        format_name=read[0].format_name if read else "",
        conversation_count=len(read),
        unreadable_count=len(items) - len(read),
        turn_count=sum(len(one.turns) for one in read),
        right_turn_count=max(
            (_right_count(read, documents) for documents in candidates), default=0
        ),
    )


def _right_count(read: Sequence[Transcript], documents: Sequence[Mapping[str, Any]]) -> int:
    wanted = {
        (_told(turn["role"]), turn["text"]) for document in documents for turn in document["turns"]
    }
    return sum((_told(turn.role), turn.text) in wanted for one in read for turn in one.turns)


def _told(role: str) -> str:
    """Return a role as all formats can tell it: most know no supervisors."""
    return "agent" if role.casefold() == "supervisor" else role.casefold()
