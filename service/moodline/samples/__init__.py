"""Six conversations written for moodline: two each in English, Turkish and Arabic."""

from __future__ import annotations

import json
from importlib.resources import files

from moodline.domain import Conversation, Role, Turn

SAMPLES_FILE_NAME = "conversations.jsonl"


def read_samples() -> str:
    """Return the sample conversations as JSON lines, in the input format of `moodline analyze`."""
    return files(__name__).joinpath(SAMPLES_FILE_NAME).read_text(encoding="utf-8")


def load_samples() -> tuple[Conversation, ...]:
    """Return the sample conversations in the order of the file."""
    return tuple(
        Conversation(
            conversation_id=row["conversation_id"],
            channel=row["channel"],
            language=row["language"],
            turns=tuple(
                Turn(role=Role(turn["role"]), text=turn["text"], start_ms=turn["start_ms"])
                for turn in row["turns"]
            ),
        )
        for row in map(json.loads, read_samples().splitlines())
    )
