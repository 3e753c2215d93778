"""The real model and the default rules: the same signals however a conversation arrives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moodline.analyzer import ConversationAnalyzer
from moodline.domain import Conversation, StreamedTurn, TurnResult
from moodline.rules.model import Severity
from moodline.rules.rule_set import RuleSet
from moodline.samples import load_samples
from moodline.signals.domain import SignalEvent
from moodline.signals.engine import SignalEngine

RULES = RuleSet.default()


async def whole(analyzer: ConversationAnalyzer, conversation: Conversation) -> list[TurnResult]:
    return list((await analyzer.analyze(conversation)).turns)


async def streamed(analyzer: ConversationAnalyzer, conversation: Conversation) -> list[TurnResult]:
    session = analyzer.open_session(
        conversation_id=conversation.conversation_id, language=conversation.language
    )
    results: list[TurnResult] = []
    for index, turn in enumerate(conversation.turns):
        answer = await session.add_turn(replace(turn, turn_id=str(index)), is_final=True)
        assert isinstance(answer, StreamedTurn)
        results.append(answer.result)
    return results


def events_of(
    analyzer: ConversationAnalyzer, conversation: Conversation, results: list[TurnResult]
) -> list[SignalEvent]:
    engine = SignalEngine(
        RULES,
        model_version=analyzer.artifact.model_version,
        configuration_digest=analyzer.artifact.digest,
    )
    session = engine.open(conversation.conversation_id, channel=conversation.channel)
    events = [event for result in results for event in session.add(result)]
    return [*events, *session.finish()]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("conversation", load_samples(), ids=lambda c: c.conversation_id)
async def test_a_stream_raises_the_signals_of_the_whole_conversation(
    analyzer: ConversationAnalyzer, conversation: Conversation
) -> None:
    once = events_of(analyzer, conversation, await whole(analyzer, conversation))
    live = events_of(analyzer, conversation, await streamed(analyzer, conversation))
    assert [event.event_id for event in live] == [event.event_id for event in once]
    for one, other in zip(live, once, strict=True):
        assert one.signal.rule_id == other.signal.rule_id
        assert one.signal.probability == pytest.approx(other.signal.probability, abs=1e-4)
        spans = [(q.turn_index, q.start, q.end, q.text) for q in one.signal.quotes]
        assert spans == [(q.turn_index, q.start, q.end, q.text) for q in other.signal.quotes]


@pytest.mark.asyncio(loop_scope="session")
async def test_in_each_language_some_sample_raises_an_alert_with_evidence(
    analyzer: ConversationAnalyzer,
) -> None:
    alerted: set[str] = set()
    for conversation in load_samples():
        results = await whole(analyzer, conversation)
        texts = {result.turn_index: result.turn.text for result in results}
        for event in events_of(analyzer, conversation, results):
            signal = event.signal
            if signal.severity is not Severity.INFO:
                alerted.add(conversation.language)
            assert sum(c.share for c in signal.contributions) == pytest.approx(1.0)
            for quote in signal.quotes:
                assert texts[quote.turn_index][quote.start : quote.end] == quote.text
    assert alerted == {"en", "tr", "ar"}
