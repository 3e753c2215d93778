"""What the documentation refers to is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_bad_input_names_exists() -> None:
    text = (ROOT / "docs" / "bad-input.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    files = (ROOT / "tests" / "integration").glob("test_*.py")
    written = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert len(named) > 40
    assert {name for name in named if f"def {name}(" not in written} == set()
