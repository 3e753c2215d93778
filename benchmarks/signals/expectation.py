"""What must be told and done, from the model and the rules alone: no server, no store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry

from benchmarks.signals.receiver import Effect
from moodline.analyzer import ConversationAnalyzer
from moodline.app import find_artifact, open_analyzer, signal_engine
from moodline.domain import StreamedTurn, TurnResult
from moodline.rpc.convert import turn_from_proto
from moodline.rules.rule_set import RuleSet
from moodline.settings import load_settings
from moodline.signals.domain import SignalEvent, SignalEventKind
from moodline.signals.engine import SignalEngine
from moodline.telemetry.metrics import Metrics
from moodline.v1.conversation_pb2 import Conversation

_ACTING: Final = (SignalEventKind.RAISED, SignalEventKind.UPDATED)


class Expectation:
    """Knows the signals of any of the conversations, under any id."""

    def __init__(self, engine: SignalEngine, results: Sequence[Sequence[TurnResult]]) -> None:
        """Made by `expect`."""
        self._engine = engine
        self._results = results

    def events(self, number: int, conversation_id: str) -> list[SignalEvent]:
        """Return all events of a conversation that came to its end.

        Args:
            number: Which of the conversations.
            conversation_id: The id that it was sent under.
        """
        session = self._engine.open(conversation_id)
        events = [event for result in self._results[number] for event in session.add(result)]
        return [*events, *session.finish()]


def effects(events: Sequence[SignalEvent]) -> set[Effect]:
    """Return what is to be done, once each, for the events of a conversation."""
    return {
        (event.signal.signal_id, action.kind, action.target)
        for event in events
        if event.kind in _ACTING
        for action in event.signal.actions
    }


async def expect(conversations: Sequence[Conversation]) -> Expectation:
    """Read the conversations with the model in this process, turn by turn."""

    def fail(error: BaseException) -> None:
        raise error

    settings = load_settings({})
    artifact = find_artifact(settings)
    async with open_analyzer(
        settings, artifact=artifact, metrics=Metrics(CollectorRegistry()), on_fatal=fail
    ) as analyzer:
        results = [await _read(analyzer, conversation) for conversation in conversations]
    return Expectation(signal_engine(RuleSet.default(), artifact), results)


async def _read(analyzer: ConversationAnalyzer, conversation: Conversation) -> list[TurnResult]:
    session = analyzer.open_session(conversation_id="-", language=conversation.language)
    results = []
    for turn in conversation.turns:
        answer = await session.add_turn(turn_from_proto(turn), is_final=True)
        assert isinstance(answer, StreamedTurn)
        results.append(answer.result)
    return results
