"""Reads and scores past contacts for backtests, in the order of the inputs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

from moodline.analyzer import ConversationAnalyzer
from moodline.backtest.contacts import Contact, contact_of
from moodline.errors import InvalidRequestError
from moodline.jobs.answers import Refused
from moodline.jobs.fields import as_in_the_line
from moodline.jobs.items import UNREADABLE, Item, SourceEnd
from moodline.jobs.model import ConversationError, analyze_in_job
from moodline.rpc.convert import conversation_from_proto
from moodline.rpc.validation import RequestValidator
from moodline.v1.conversation_pb2 import Conversation

MAX_IN_FLIGHT: Final = 64
"""Conversations that are scored at a time, so that engine calls are full."""


@dataclass(frozen=True, slots=True)
class ContactOutcome:
    """What became of an item.

    Attributes:
        scored: The contact, or why there is none.
    """

    item: Item
    scored: Contact | Refused


async def score_contacts(
    items: Iterable[Item | SourceEnd],
    analyzer: ConversationAnalyzer,
    validator: RequestValidator,
) -> AsyncIterator[ContactOutcome]:
    """Yield what becomes of each item, in order, reading no further ahead than needed.

    Raises:
        MoodlineError: If the engine is gone.
    """
    waiting: deque[asyncio.Task[ContactOutcome]] = deque()
    try:
        for item in items:
            if isinstance(item, SourceEnd):
                continue
            waiting.append(asyncio.create_task(_outcome(item, analyzer, validator)))
            while len(waiting) >= MAX_IN_FLIGHT:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()


async def _outcome(
    item: Item, analyzer: ConversationAnalyzer, validator: RequestValidator
) -> ContactOutcome:
    if item.refusal is not None or item.transcript is None:
        return ContactOutcome(item, item.refusal or Refused(UNREADABLE, ()))
    conversation = Conversation.FromString(item.message)
    violations = await validator.check_conversation(conversation, path="")
    if violations:
        refused = Refused(InvalidRequestError.reason, tuple(map(as_in_the_line, violations)))
        return ContactOutcome(item, refused)
    try:
        analysis = await analyze_in_job(analyzer, conversation_from_proto(conversation))
        contact = contact_of(item.transcript, analysis, source=item.source, number=item.number)
    except ConversationError as error:
        return ContactOutcome(item, Refused(error.code, error.violations))
    except InvalidRequestError as error:
        return ContactOutcome(item, Refused(error.reason, error.violations))
    return ContactOutcome(item, contact)
