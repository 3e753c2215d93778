"""Writes the JSON Schema of what receivers of actions are told; part of `make generate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from moodline.actions.message import ActionMessage

SCHEMA: Final = (
    Path(__file__).parents[1] / "service" / "moodline" / "actions" / "action_message.schema.json"
)


def schema() -> str:
    """The JSON Schema of a request's body; receivers must let unknown fields pass."""
    described: dict[str, Any] = ActionMessage.model_json_schema(mode="serialization")
    for part in (described, *described["$defs"].values()):
        part.pop("additionalProperties", None)
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **described,
        "title": "moodline action message",
    }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
