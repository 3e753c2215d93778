"""Whether live conversations raise exactly the signals of the backtest.

Live: turn by turn through the analyzer's sessions, several conversations at a time, each turn told
to its signals as the server tells it. Backtest: the same conversations read from a file, scored
whole, 64 at a time, kept on the disk and replayed. The analyzer's cache is off, so that nothing is
the same only because it was remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from moodline.analyzer import ConversationAnalyzer
from moodline.backtest.contacts import Contact
from moodline.backtest.running import signal_events
from moodline.domain import Conversation, StreamedTurn
from moodline.signals.domain import SignalEvent
from moodline.signals.engine import SignalEngine

LIVE_CONVERSATIONS: Final = 16
"""Live conversations at a time."""


@dataclass(slots=True)
class IdentityCount:
    """What was compared.

    Attributes:
        different_ids: Conversations whose signals differ in anything but their probabilities.
        max_probability_difference: Over all signals.
    """

    conversation_count: int = 0
    turn_count: int = 0
    event_count: int = 0
    different_ids: tuple[str, ...] = ()
    max_probability_difference: float = 0.0

    def add(self, name: str, live: Sequence[SignalEvent], replayed: Sequence[SignalEvent]) -> None:
        """Compare one conversation."""
        self.conversation_count += 1
        self.event_count += len(live)
        if list(map(_told, live)) != list(map(_told, replayed)):
            self.different_ids += (name,)
            return
        for one, other in zip(live, replayed, strict=True):
            apart = abs(one.signal.probability - other.signal.probability)
            self.max_probability_difference = max(self.max_probability_difference, apart)


def _told(event: SignalEvent) -> tuple[Any, ...]:
    signal = event.signal
    quotes = tuple((q.turn_index, q.start, q.end, q.text, q.aspect) for q in signal.quotes)
    turns = tuple(one.turn_index for one in signal.contributions)
    return (
        *(event.event_id, event.kind, event.moment, signal.rule_id, signal.severity),
        *(signal.state, quotes, turns),
    )


async def compare_live(
    analyzer: ConversationAnalyzer, engine: SignalEngine, contacts: Iterable[Contact]
) -> IdentityCount:
    """Hold the conversations of scored contacts again, live, and compare their signals."""
    count = IdentityCount()
    waiting = iter(contacts)

    async def work() -> None:
        for contact in waiting:
            conversation = Conversation(
                contact.facts.contact_id,
                tuple(result.turn for result in contact.turns),
                channel=contact.facts.channel,
                language=contact.facts.language,
                attributes=contact.attributes,
            )
            live = await _live_events(analyzer, engine, conversation)
            count.add(contact.facts.contact_id, live, signal_events(engine, contact))
            count.turn_count += len(contact.turns)

    await asyncio.gather(*(work() for _ in range(LIVE_CONVERSATIONS)))
    return count


async def _live_events(
    analyzer: ConversationAnalyzer, engine: SignalEngine, conversation: Conversation
) -> list[SignalEvent]:
    reading = analyzer.open_session(
        conversation_id=conversation.conversation_id, language=conversation.language
    )
    signals = engine.open(
        conversation.conversation_id,
        channel=conversation.channel,
        attributes=conversation.attributes,
    )
    events: list[SignalEvent] = []
    for index, turn in enumerate(conversation.turns):
        # A stream needs ids; nothing of a signal's identity depends on them.
        answer = await reading.add_turn(
            replace(turn, turn_id=turn.turn_id or str(index)), is_final=True
        )
        if isinstance(answer, StreamedTurn):
            events += signals.add(answer.result)
    return [*events, *signals.finish()]
