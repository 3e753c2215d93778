"""Reads transcripts in tests."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from moodline.transcripts import (
    ReadOptions,
    Transcript,
    TranscriptSource,
    UnreadableItem,
    open_source,
    read_transcripts,
)

SAMPLES = Path(__file__).parents[2] / "data" / "transcripts"


class Pipe(io.RawIOBase):
    """A stream that cannot be sought and gives few bytes at a time, as a pipe may."""

    def __init__(self, content: bytes) -> None:
        self._rest = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._rest.read(min(len(buffer), 1_000))
        buffer[: len(piece)] = piece
        return len(piece)


def read(
    content: bytes | str | object,
    *,
    name: str = "sample",
    format_name: str = "",
    options: ReadOptions | None = None,
) -> list[Transcript | UnreadableItem]:
    """Read bytes, text, or an object as JSON, from a stream."""
    if not isinstance(content, bytes):
        text = content if isinstance(content, str) else json.dumps(content)
        content = text.encode()
    source = TranscriptSource(name, io.BufferedReader(Pipe(content)))
    return list(read_transcripts(source, format_name=format_name, options=options))


def read_file(path: Path, options: ReadOptions | None = None) -> list[Transcript | UnreadableItem]:
    with open_source(path) as source:
        return list(read_transcripts(source, options=options))


def transcript(content: bytes | str | object, **arguments: Any) -> Transcript:
    """Read the one conversation that there is."""
    (item,) = read(content, **arguments)
    assert isinstance(item, Transcript), str(item)
    return item


def unreadable(content: bytes | str | object, **arguments: Any) -> UnreadableItem:
    """Read what cannot be read."""
    (item,) = read(content, **arguments)
    assert isinstance(item, UnreadableItem)
    return item
