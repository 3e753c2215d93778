"""An item of a job and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moodline.jobs.answers import Answer, Refused, Scored
from moodline.jobs.items import Item


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item."""

    item: Item
    answer: Answer

    @property
    def is_scored(self) -> bool:
        """Whether there is an analysis."""
        return isinstance(self.answer, Scored)

    @property
    def turn_count(self) -> int:
        """Turns that were scored."""
        transcript = self.item.transcript
        return len(transcript.turns) if transcript is not None and self.is_scored else 0

    @property
    def refusal(self) -> Refused | None:
        """Why there is no analysis."""
        return self.answer if isinstance(self.answer, Refused) else None

    def failure(self) -> dict[str, Any]:
        """Return what is wrong with a refused item, as JSON values; never customer text.

        Raises:
            ValueError: If it was scored.
        """
        refusal = self.refusal
        if refusal is None:
            raise ValueError("The item was scored.")
        return {
            **origin(self.item, "failed"),
            "conversation_id": self.item.conversation_id,
            "code": refusal.code,
            "errors": [
                {"field": violation.field, "problem": violation.description}
                for violation in refusal.violations
            ],
        }


def origin(item: Item, status: str) -> dict[str, Any]:
    """Return where an item comes from, as results tell it."""
    return {
        "status": status,
        "source": item.source,
        "number": item.number,
        "place": item.place,
    }
