"""Writes docs/settings.md from the descriptions of the settings; part of `make generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel

from moodline.settings import PREFIX, Settings

DOC: Final = Path(__file__).parents[1] / "docs" / "settings.md"
_HEAD: Final = """# Settings

Environment variables; `moodline config` prints what is in force, secrets hidden. A misspelt one is
refused at start, naming the right one. Made by `make generate` from the descriptions in
`settings.py`.
"""


def render() -> str:
    """The page, one table a group."""
    parts = [_HEAD]
    for group, field in Settings.model_fields.items():
        settings: BaseModel = field.get_default(call_default_factory=True)
        parts.append(f"\n## {group}\n\n{(type(settings).__doc__ or '').strip()}\n\n")
        parts.append("| variable | default | meaning |\n|---|---|---|\n")
        for name, value in type(settings).model_fields.items():
            default = getattr(settings, name)
            if isinstance(default, tuple):
                default = ",".join(map(str, default))
            shown = "unset" if default is None else f"`{default}`"
            variable = f"{PREFIX}{group}__{name}".upper()
            parts.append(f"| `{variable}` | {shown} | {value.description} |\n")
    return "".join(parts)


if __name__ == "__main__":
    DOC.write_text(render(), encoding="utf-8")
