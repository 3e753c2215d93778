"""What a job asks of an engine."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from moodline.jobs.answers import Answer
from moodline.jobs.model import ModelIdentity


class ScoringEngine(Protocol):
    """Analyses conversations, many at a time; used inside its `with` block, from one thread."""

    @property
    def identity(self) -> ModelIdentity:
        """The model that answers."""

    @property
    def max_in_flight(self) -> int:
        """How many conversations may be submitted and not yet answered."""

    def submit(self, message: bytes) -> Future[Answer]:
        """Begin to analyse a conversation.

        Args:
            message: A serialized `moodline.v1.Conversation`, not validated.

        Returns:
            Its answer, or an error if the engine is gone, for this one and all others.
        """
