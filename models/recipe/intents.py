"""What the intents of a data set tell by the annotation guide: data, one YAML file a set.

An intent gives some labels and leaves the others unknown. Every intent of a set stands in its
file, also those that tell nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.recipe.examples import UNKNOWN, TurnLabels
from models.recipe.labels import STAGE
from models.recipe.rows import COARSE, tag_labels

MAPPINGS_DIR: Final = Path(__file__).parent / "mappings"

_T = TypeVar("_T")


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IntentLabels(_Group):
    """What one intent tells; None and absence from the tags mean that it does not."""

    sentiment: Literal["negative", "neutral", "positive"] | None = None
    urgency: int | None = Field(default=None, ge=0, le=3)
    stage: str | None = None
    tags_present: tuple[str, ...] = ()
    tags_absent: tuple[str, ...] = ()
    tags_open: tuple[str, ...] = Field(
        default=(), description="Settled tags of the set that this intent leaves unknown."
    )

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        if self.stage is not None and self.stage not in STAGE:
            raise ValueError(f"no such stage: {self.stage}; labels.STAGE names them")
        tag_labels(self.tags_present, self.tags_absent)
        tag_labels(self.tags_open)
        return self


class IntentMapping(_Group):
    """All intents of one set."""

    settled_tags: tuple[str, ...] = Field(
        default=(), description="Tags that are absent where an intent neither names nor opens them."
    )
    intents: dict[str, IntentLabels] = Field(
        description="Keys joined by + hold where all of their intents stand on one turn."
    )
    unmapped: tuple[str, ...] = Field(description="Intents that tell nothing.")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        tag_labels(self.settled_tags)
        if both := set(self.unmapped) & set(self.intents):
            raise ValueError(f"mapped and unmapped at once: {', '.join(sorted(both))}")
        return self

    def names(self) -> set[str]:
        """Every intent of the set."""
        return {part for key in self.intents for part in key.split("+")} | set(self.unmapped)

    def labels(self, intents: Collection[str]) -> TurnLabels | None:
        """What the intents of one turn tell together.

        Sentiment, urgency and stage stay unknown where two intents disagree; a tag that one of
        them gives is present.

        Returns:
            The labels, or None if nothing is known.

        Raises:
            KeyError: If the file does not know one of the intents.
        """
        if unknown := set(intents) - self.names():
            raise KeyError(f"no mapping for intent {', '.join(sorted(unknown))}")
        told = [v for key, v in self.intents.items() if set(key.split("+")) <= set(intents)]
        if not told:
            return None
        present = {tag for labels in told for tag in labels.tags_present}
        open_tags = {tag for labels in told for tag in labels.tags_open}
        absent = {tag for labels in told for tag in labels.tags_absent} | set(self.settled_tags)
        sentiment = _agreed(labels.sentiment for labels in told)
        urgency = _agreed(labels.urgency for labels in told)
        stage = _agreed(labels.stage for labels in told)
        return TurnLabels(
            coarse_sentiment=UNKNOWN if sentiment is None else COARSE[sentiment],
            urgency=UNKNOWN if urgency is None else urgency,
            stage=UNKNOWN if stage is None else STAGE.index(stage),
            tags=tag_labels(present, absent - present - open_tags),
        )


def _agreed(values: Iterable[_T | None]) -> _T | None:
    known = {value for value in values if value is not None}
    return known.pop() if len(known) == 1 else None


@cache
def load_mapping(name: str) -> IntentMapping:
    """Read `mappings/<name>.yaml`.

    Raises:
        pydantic.ValidationError: If a key is unknown, or a label does not exist.
    """
    text = (MAPPINGS_DIR / f"{name}.yaml").read_text(encoding="utf-8")
    return IntentMapping.model_validate(yaml.safe_load(text))


@cache
def load_names(name: str) -> dict[str, str]:
    """Read `mappings/<name>.yaml`, which gives the intents of a set their names in another set."""
    text = (MAPPINGS_DIR / f"{name}.yaml").read_text(encoding="utf-8")
    names: dict[str, str] = yaml.safe_load(text)["names"]
    return names
