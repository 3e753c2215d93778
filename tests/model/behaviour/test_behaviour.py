"""The shipped model keeps each ability at the rate recorded for it (docs/behaviour.md)."""

import json
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from moodline.domain import Role
from tests.model.behaviour import rates
from tests.model.behaviour.cases import Case, load_abilities, load_cases
from tests.model.behaviour.judge import Judgement, judge

TRAINING_TEXTS = Path(__file__).parents[3] / "models" / "data"
MIN_CASES = 20
WITHOUT_CASES = {("diacritics", "en")}
"""English has no diacritics to lose."""
RECORDED = rates.recorded()


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return load_cases()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def judgement(cases: list[Case]) -> Judgement:
    return await judge(cases)


@pytest.mark.parametrize(
    ("ability", "language"),
    [(ability, lang) for ability, cells in RECORDED.abilities.items() for lang in cells],
)
def test_an_ability_holds_as_often_as_recorded(
    judgement: Judgement, ability: str, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = RECORDED.abilities[ability][language]
    now = rates.count(judgement).abilities[ability][language]
    if len(now.failed) < len(recorded.failed):
        with capsys.disabled():
            sys.stdout.write(
                f"\n{ability}/{language}: {recorded.pass_rate} -> {now.pass_rate}, a rise; record "
                "it with: python -m tests.model.behaviour.record\n"
            )
    failures = [
        f"{'' if v.case.case_id in recorded.failed else 'NEW '}{v.case.case_id}: {v.objection}"
        for v in judgement.verdicts
        if v.case.case_id in now.failed
    ]
    assert len(now.failed) <= len(recorded.failed), "\n".join(
        [f"{ability}/{language} fell from {recorded.pass_rate} to {now.pass_rate}:", *failures]
    )


def test_the_rates_are_of_this_model_and_of_all_cases(
    judgement: Judgement, cases: list[Case]
) -> None:
    stale = "run: python -m tests.model.behaviour.record"
    assert judgement.model_version == RECORDED.model_version, stale
    counts = {
        (ability, lang): cell.case_count
        for ability, cells in RECORDED.abilities.items()
        for lang, cell in cells.items()
    }
    assert counts == count_cases(cases), stale


def test_the_page_of_rates_is_current() -> None:
    assert rates.DOC.read_text(encoding="utf-8") == rates.render(RECORDED, load_abilities())


def test_every_ability_has_enough_cases_in_every_language(cases: list[Case]) -> None:
    counts = count_cases(cases)
    wanted = {(case.ability, lang) for case in cases for lang in rates.LANGUAGES} - WITHOUT_CASES
    assert {cell: counts.get(cell, 0) for cell in wanted if counts.get(cell, 0) < MIN_CASES} == {}


def test_no_case_is_training_data(cases: list[Case]) -> None:
    trained = {
        normalised(text)
        for path in TRAINING_TEXTS.glob("*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
        for text in texts_in(json.loads(line))
    }
    assert len(trained) > 1000
    known = {
        (case.case_id, turn.text)
        for case in cases
        for conversation in case.variants
        for turn in conversation.turns
        if turn.role is Role.CUSTOMER and normalised(turn.text) in trained
    }
    assert known == set(), "write these cases anew, or take the texts out of models/data"


def test_every_case_differs_from_every_other(cases: list[Case]) -> None:
    seen: dict[tuple[str, ...], str] = {}
    for case in cases:
        key = tuple(normalised(turn.text) for turn in case.variants[0].turns)
        assert key not in seen, (case.case_id, seen[key])
        seen[key] = case.case_id


def count_cases(cases: list[Case]) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for case in cases:
        cell = case.ability, case.language
        counts[cell] = counts.get(cell, 0) + 1
    return counts


def normalised(text: str) -> str:
    """Letters and digits alone, case and marks folded."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in folded if c.isalnum())


def texts_in(value: Any) -> Iterator[str]:
    """Every `text` of a row, however deep."""
    if isinstance(value, dict):
        if isinstance(text := value.get("text"), str):
            yield text
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from texts_in(part)
