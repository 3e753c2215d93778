"""Behaviour cases as data: one YAML file an ability, read into conversations and expectations.

The kinds of expectation are those of CheckList (Ribeiro et al., 2020): minimum functionality
(`expect`), invariance (`same`) and direction (`change`). docs/behaviour.md explains the format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from moodline.domain import Conversation, Role, SentimentLabel, Turn, UrgencyLevel
from tests.model.behaviour.perturb import PERTURBATIONS

FOLDER: Final = Path(__file__).parent

Spoken = str | Annotated[list[dict[Role, str]], Field(min_length=1)]
"""One customer turn, or turns of which the last is the customer's and the one that is judged."""


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expect(_Data):
    """What every variant must show: one of the labels, all of `tags`, none of `no_tags`."""

    sentiment: frozenset[SentimentLabel] = frozenset()
    urgency: frozenset[UrgencyLevel] = frozenset()
    tags: frozenset[str] = frozenset()
    no_tags: frozenset[str] = frozenset()


class Same(_Data):
    """How far apart the variants may lie: largest less smallest.

    Attributes:
        score: Of the sentiment score, in [-1, 1].
        escalation: Of the probability of ESCALATE, in [0, 1]; unset, it is not compared.
    """

    score: float = Field(gt=0)
    escalation: float | None = Field(default=None, gt=0)


class Group(_Data):
    """Cases that share a language and an expectation.

    Attributes:
        change: By how much the sentiment score moves at least from the first variant to the last;
            negative to fall.
        fill: Values of `{slots}`; the n-th variant takes the n-th of each.
        perturb: Names of `PERTURBATIONS`; each adds a variant to the text as it stands.
        cases: One case an entry.
        variants: One case an entry, written out in several ways.
    """

    name: str = Field(pattern="^[a-z_]+$")
    lang: Literal["en", "tr", "ar"]
    expect: Expect | None = None
    same: Same | None = None
    change: float | None = None
    fill: dict[str, list[str]] = {}
    perturb: list[str] = []
    cases: list[Spoken] = []
    variants: list[Annotated[list[Spoken], Field(min_length=2)]] = []

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.cases) == bool(self.variants):
            raise ValueError(f"{self.name}: give either cases or variants")
        if self.variants and (self.fill or self.perturb):
            raise ValueError(f"{self.name}: fill and perturb make variants of cases")
        if self.expect is None and self.same is None and self.change is None:
            raise ValueError(f"{self.name}: expects nothing")
        if unknown := set(self.perturb) - set(PERTURBATIONS):
            raise ValueError(f"{self.name}: no perturbation is called {sorted(unknown)}")
        return self


class AbilityFile(_Data):
    """What a YAML file holds."""

    about: str
    groups: list[Group]


@dataclass(frozen=True, slots=True)
class Case:
    """One case: a conversation, or several that should compare in some way."""

    case_id: str
    ability: str
    language: str
    variants: tuple[Conversation, ...]
    group: Group


def load_abilities(folder: Path = FOLDER) -> dict[str, AbilityFile]:
    """Read all case files, by ability in alphabetical order.

    Raises:
        pydantic.ValidationError: If a file does not follow the format.
    """
    return {
        path.stem: AbilityFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in sorted(folder.glob("*.yaml"))
    }


def cases_of(ability: str, groups: Sequence[Group]) -> list[Case]:
    """Spell out the cases of an ability; ids are `ability.language.group.number`."""
    cases = []
    for group in groups:
        written = group.variants or [_vary(spoken, group) for spoken in group.cases]
        for number, variants in enumerate(written, start=1):
            case_id = f"{ability}.{group.lang}.{group.name}.{number}"
            conversations = tuple(_conversation(case_id, spoken) for spoken in variants)
            cases.append(Case(case_id, ability, group.lang, conversations, group))
    return cases


def load_cases() -> list[Case]:
    """All cases of all abilities."""
    return [
        case
        for ability, file in load_abilities().items()
        for case in cases_of(ability, file.groups)
    ]


def _vary(spoken: Spoken, group: Group) -> list[Spoken]:
    variants = [spoken]
    if group.fill:
        count = max(map(len, group.fill.values()))
        variants = [_filled(spoken, group.fill, n) for n in range(count)]
    for name in group.perturb:
        if not isinstance(spoken, str):
            raise TypeError(f"{group.name}: only single turns can be perturbed")
        variants.append(PERTURBATIONS[name](spoken, group.lang))
    return variants


def _filled(spoken: Spoken, fill: dict[str, list[str]], n: int) -> Spoken:
    def fill_text(text: str) -> str:
        for slot, values in fill.items():
            text = text.replace("{" + slot + "}", values[n % len(values)])
        return text

    if isinstance(spoken, str):
        return fill_text(spoken)
    return [{role: fill_text(text) for role, text in turn.items()} for turn in spoken]


def _conversation(case_id: str, spoken: Spoken) -> Conversation:
    turns = [{Role.CUSTOMER: spoken}] if isinstance(spoken, str) else spoken
    conversation = Conversation(
        case_id, tuple(Turn(role, text) for turn in turns for role, text in turn.items())
    )
    if conversation.turns[-1].role is not Role.CUSTOMER:
        raise ValueError(f"{case_id}: the last turn must be the customer's")
    return conversation
