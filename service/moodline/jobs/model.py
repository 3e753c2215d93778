"""What a scoring job asks of a model, and of the one in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from moodline import domain
from moodline.analyzer import ConversationAnalyzer
from moodline.batching.planner import Priority
from moodline.errors import (
    DrainingError,
    FieldViolation,
    InvalidRequestError,
    MoodlineError,
    NotReadyError,
    OverloadedError,
)
from moodline.v1.analysis_pb2 import ConversationAnalysis
from moodline.v1.conversation_pb2 import Conversation

_T = TypeVar("_T")

Analyze: TypeAlias = Callable[[Conversation], Awaitable[ConversationAnalysis]]
"""Analyses a validated conversation. Raises `ConversationError` if that one cannot be analysed, any
other error if none can."""


class ConversationError(Exception):
    """One conversation cannot be analysed; those after it may well be.

    Attributes:
        violations: What is wrong with it, by field as in the line; at least one.
        code: Stable UPPER_SNAKE name of the cause.
    """

    def __init__(
        self,
        violations: tuple[FieldViolation, ...],
        *,
        code: str = InvalidRequestError.reason,
    ) -> None:
        super().__init__(f"{len(violations)} violations")
        self.violations = violations
        self.code = code


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What decides the results besides the conversations, as results and signals carry it."""

    model_version: str
    configuration_digest: str
    rule_set_digest: str

    def __str__(self) -> str:
        digests = f"{self.configuration_digest[:12]}, rules {self.rule_set_digest[:12]}"
        return f"{self.model_version} ({digests})"


async def analyze_in_job(
    analyzer: ConversationAnalyzer, conversation: domain.Conversation
) -> domain.ConversationAnalysis:
    """Analyse a validated conversation with the model of this process, behind live work.

    Raises:
        ConversationError: If this one cannot be analysed.
        MoodlineError: If none can.
    """
    return await patiently(
        lambda: analyzer.analyze(conversation, priority=Priority.BULK, mode="batch")
    )


async def patiently(analyze: Callable[[], Awaitable[_T]]) -> _T:
    """Analyse one conversation, as often as it takes until there is room for it.

    Args:
        analyze: Called again while too much other work is pending.

    Raises:
        ConversationError: If this one cannot be analysed.
        MoodlineError: If none can.
    """
    while True:
        try:
            return await analyze()
        except OverloadedError as error:
            # By what else this run, or the server that it runs in, has under way; that ends.
            await asyncio.sleep(error.retry_after_s)
        except InvalidRequestError as error:
            raise ConversationError(error.violations, code=error.reason) from None
        except (NotReadyError, DrainingError):
            raise
        except MoodlineError as error:
            raise ConversationError((FieldViolation("", str(error)),), code=error.reason) from None
