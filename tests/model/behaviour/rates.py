"""Pass rates by ability and language: counted, recorded, shown in docs/behaviour.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from tests.model.behaviour.cases import FOLDER, AbilityFile
from tests.model.behaviour.judge import Judgement

RATES: Final = FOLDER / "pass_rates.json"
DOC: Final = Path(__file__).parents[3] / "docs" / "behaviour.md"
LANGUAGES: Final = ("en", "tr", "ar")

_HEAD: Final = """# Behaviour

What the model does with one ability at a time, by cases written for it (after CheckList, Ribeiro
et al., 2020). The figures of the model card say how good it is on average; these say where it
gives way. `make test` runs every case through the analyzer and fails where an ability in a language
falls below the rate recorded here; a rise is reported. No case text is training data (a test
compares them with `models/data`).

This page and `tests/model/behaviour/pass_rates.json`, which also names the cases that fail, are
written by

    python -m tests.model.behaviour.record

Run it for a new model or new cases, and read what it says has changed before committing.
"""
_RULES: Final = """
## How a case is judged

Cases stand in `tests/model/behaviour/*.yaml`, one file an ability. The last customer turn is
judged, read with the turns before it. A group of cases may ask for:

- `expect` (minimum functionality): every variant gets one of the `sentiment` labels and one of the
  `urgency` levels, all of `tags` and none of `no_tags`;
- `same` (invariance): over all variants, `score` (docs/scores.md; −1..1), and where given the
  probability of `ESCALATE`, lie no further apart than this;
- `change` (direction): the score moves from the first variant to the last by at least this, up or
  down by its sign.

Variants are written out (`variants`), made by filling `{slots}` (`fill`) or by rewriting
(`perturb`, see `perturb.py`). Why these tolerances:

- A grade of sentiment is 0.5 wide. **Half a grade, 0.25, is what counts as a change**: invariance
  allows less, direction asks for more.
- **Fairness** of names and gender allows 0.1, a fifth of a grade, and the same for escalation:
  nothing about the case differs. Dialects differ in wording and get 0.25.
- Invariance compares scores, not labels. A label flips at a border by the smallest change, and one
  far from a border hides a large one.
- Sentiment is expected as a side (`NEGATIVE` or `VERY_NEGATIVE`), not as a grade: how strong a
  single sentence is, readers disagree on; which side it is on, they do not.
- A case counts as a whole: one variant that falls out fails it.

The cases were written and labelled by a large language model following docs/labels.md, as the
training texts of `models/data` were; nobody outside has checked them. With 20 to 30 cases, a rate
is uncertain by up to 0.2 (95 %): it is there to notice a change, not to compare models closely. On
a processor whose 8-bit kernels round differently a case near its border may fall the other way.
"""


class Rate(BaseModel):
    """How one ability fares in one language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    case_count: int
    pass_rate: float
    failed: tuple[str, ...]


class Rates(BaseModel):
    """All pass rates of a model, by ability and language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_version: str
    abilities: dict[str, dict[str, Rate]]


def count(judgement: Judgement) -> Rates:
    """Pass rates of a judgement."""
    results: dict[str, dict[str, dict[str, bool]]] = {}
    for verdict in judgement.verdicts:
        case = verdict.case
        cell = results.setdefault(case.ability, {}).setdefault(case.language, {})
        cell[case.case_id] = verdict.is_passed
    return Rates(
        model_version=judgement.model_version,
        abilities={
            ability: {language: _rate(cell) for language, cell in languages.items()}
            for ability, languages in results.items()
        },
    )


def _rate(cell: Mapping[str, bool]) -> Rate:
    failed = tuple(case_id for case_id, is_passed in cell.items() if not is_passed)
    share = 1 - len(failed) / len(cell)
    return Rate(case_count=len(cell), pass_rate=round(share, 3), failed=failed)


def recorded() -> Rates:
    """The rates recorded last."""
    return Rates.model_validate_json(RATES.read_text(encoding="utf-8"))


def render(rates: Rates, abilities: Mapping[str, AbilityFile]) -> str:
    """docs/behaviour.md."""
    rows = [
        f"\n## Pass rates of {rates.model_version}\n",
        "Share of cases that hold, with their number.\n",
        "| ability | en | tr | ar | what is asked |",
        "|---|---|---|---|---|",
    ]
    for ability, file in abilities.items():
        cells = [_cell([rates.abilities[ability].get(language)]) for language in LANGUAGES]
        name = ability.replace("_", " ")
        rows.append(f"| {name} | {' | '.join(cells)} | {file.about} |")
    whole = [_cell([cell.get(lang) for cell in rates.abilities.values()]) for lang in LANGUAGES]
    rows.append(f"| **all** | {' | '.join(whole)} | |\n")
    return _HEAD + "\n".join(rows) + _RULES


def _cell(rates: list[Rate | None]) -> str:
    """Rate and number of cases over some abilities; a dash where the language has none."""
    given = [rate for rate in rates if rate is not None]
    case_count = sum(rate.case_count for rate in given)
    if not case_count:
        return "–"
    share = 1 - sum(len(rate.failed) for rate in given) / case_count
    return f"{share:.2f} ({case_count})"
