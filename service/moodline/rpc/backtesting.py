"""Makes the backtest that a request asks for; scoring and figures are others' work."""

from __future__ import annotations

import asyncio
from typing import Final

from moodline.analyzer import ConversationAnalyzer
from moodline.backtest.comparison import compare
from moodline.backtest.contacts import Contact
from moodline.batching.planner import Priority
from moodline.errors import InvalidRequestError
from moodline.rpc.convert import conversation_from_proto
from moodline.rpc.convert_backtest import (
    contact_from_proto,
    figures_to_proto,
    staffing_from_proto,
)
from moodline.rpc.validation import RequestValidator
from moodline.rules.rule_set import RuleSet
from moodline.v1.backtest_pb2 import BacktestFigures
from moodline.v1.signal_service_pb2 import BacktestRulesRequest, LabelledConversation

CONCURRENCY: Final = 24
"""Conversations of one call that are analysed at a time, as of a batch."""


async def backtest_rules(
    request: BacktestRulesRequest,
    *,
    analyzer: ConversationAnalyzer,
    validator: RequestValidator,
    in_force: RuleSet,
    deadline_s: float,
) -> BacktestFigures:
    """Try a rule set on the conversations of a request, behind live work.

    Args:
        request: Its rules and labels are validated, its conversations are not.
        analyzer: Scores them.
        validator: Checks them.
        in_force: The rules that the candidate would replace.
        deadline_s: When nobody waits any longer, on the analyzer's clock.

    Raises:
        RuleSetError: If the rules cannot be used.
        InvalidRequestError: If a conversation is outside the limits.
        MoodlineError: As `ConversationAnalyzer.analyze`.
    """
    # In threads: compiling takes a second, and rules a tenth of a millisecond a turn, which live
    # turns on the event loop would wait for.
    candidate = await asyncio.to_thread(RuleSet.parse, request.rules_yaml)
    for index, labelled in enumerate(request.conversations):
        path = f"conversations[{index}].conversation"
        violations = await validator.check_conversation(labelled.conversation, path=path)
        if violations:
            raise InvalidRequestError(violations)
    room = asyncio.Semaphore(CONCURRENCY)

    async def scored(index: int, labelled: LabelledConversation) -> Contact:
        conversation = conversation_from_proto(labelled.conversation)
        async with room:
            analysis = await analyzer.analyze(
                conversation, priority=Priority.BULK, deadline_s=deadline_s, mode="batch"
            )
        return contact_from_proto(labelled, conversation, analysis, number=index + 1)

    tasks = [
        asyncio.ensure_future(scored(index, labelled))
        for index, labelled in enumerate(request.conversations)
    ]
    try:
        contacts = [await task for task in tasks]
    finally:
        # What fails fails the call: nobody waits for the others then.
        for task in tasks:
            task.cancel()
    figures = await asyncio.to_thread(
        compare,
        candidate,
        in_force,
        contacts,
        model_version=analyzer.artifact.model_version,
        configuration_digest=analyzer.artifact.digest,
        staffing=staffing_from_proto(request),
    )
    return figures_to_proto(figures)
