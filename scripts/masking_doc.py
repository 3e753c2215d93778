"""Measures masking and writes the tables of docs/personal-data.md; part of `make generate`."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Final

from moodline.masking.policy import Kind
from moodline.masking.text import mask_text

ROOT: Final = Path(__file__).parents[1]
DOC: Final = ROOT / "docs" / "personal-data.md"
SENTENCES: Final = ROOT / "tests" / "data" / "masking" / "sentences.jsonl"
_TABLES: Final = re.compile(r"(<!-- tables -->\n).*(<!-- end -->\n)", re.DOTALL)
_RANDOM_COUNT: Final = 200
_SEED: Final = 7

Found = tuple[str, int, int]


def sentences() -> list[tuple[str, str, frozenset[Found]]]:
    """Return language, text and personal data of each sentence."""
    rows = map(json.loads, SENTENCES.read_text(encoding="utf-8").splitlines())
    return [
        (
            row["language"],
            row["text"],
            frozenset((span["kind"], span["start"], span["end"]) for span in row["spans"]),
        )
        for row in rows
    ]


def found_in(text: str) -> frozenset[Found]:
    """Return what is masked of a text."""
    return frozenset((r.kind.value, r.start, r.end) for r in mask_text(text).replacements)


def render() -> str:
    """The page, its tables as they are now."""
    page = DOC.read_text(encoding="utf-8")
    tables = f"{_sentence_table()}\n{_random_table()}"
    return _TABLES.sub(lambda match: match[1] + tables + match[2], page)


def _sentence_table() -> str:
    right: Counter[str] = Counter()
    wanted_count: Counter[str] = Counter()
    found_count: Counter[str] = Counter()
    for _, text, wanted in sentences():
        found = found_in(text)
        right.update(kind for kind, _, _ in wanted & found)
        wanted_count.update(kind for kind, _, _ in wanted)
        found_count.update(kind for kind, _, _ in found)
    rows = [
        f"| {kind.value} | {wanted_count[kind]} | {found_count[kind]} | {right[kind]} "
        f"| {_ratio(right[kind], found_count[kind])} | {_ratio(right[kind], wanted_count[kind])} |"
        for kind in Kind
        if wanted_count[kind] or found_count[kind]
    ]
    head = "| kind | in the sentences | found | right | precision | recall |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows]) + "\n"


def _random_table() -> str:
    """Share of random numbers that nothing is said about, and that are masked all the same."""
    numbers = random.Random(_SEED)
    rows = []
    for digit_count in range(6, 21):
        counts: Counter[str] = Counter()
        for _ in range(_RANDOM_COUNT):
            first = numbers.choice("123456789")
            rest = "".join(numbers.choices("0123456789", k=digit_count - 1))
            counts.update(kind for kind, _, _ in found_in(f"it says {first}{rest} there"))
        rows.append(
            f"| {digit_count} | "
            + " | ".join(
                f"{counts[kind] / _RANDOM_COUNT:.1%}"
                for kind in (Kind.CARD, Kind.NATIONAL_ID, Kind.PHONE)
            )
            + " |"
        )
    head = "| digits | as CARD | as NATIONAL_ID | as PHONE |\n|---|---|---|---|"
    return "\n".join([head, *rows]) + "\n"


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


if __name__ == "__main__":
    DOC.write_text(render(), encoding="utf-8")
