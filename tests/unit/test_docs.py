"""What the documentation refers to is there."""

from __future__ import annotations

import re
from pathlib import Path

from scripts import settings_doc

ROOT = Path(__file__).parents[2]


def test_every_test_that_bad_input_names_exists() -> None:
    text = (ROOT / "docs" / "bad-input.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    files = (ROOT / "tests" / "integration").glob("test_*.py")
    written = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert len(named) > 40
    assert {name for name in named if f"def {name}(" not in written} == set()


def test_the_page_of_settings_is_current() -> None:
    assert settings_doc.DOC.read_text(encoding="utf-8") == settings_doc.render()


def test_every_page_that_is_referred_to_exists() -> None:
    folders = ("service", "models", "docs", "benchmarks", "scripts")
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for folder in folders:
        files += [p for p in (ROOT / folder).rglob("*") if p.suffix in {".py", ".md", ".proto"}]
    named = {
        name
        for path in files
        if "runs" not in path.parts
        for name in re.findall(r"docs/[\w-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 8
    assert {name for name in named if not (ROOT / name).is_file()} == set()
