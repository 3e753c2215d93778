"""What signals cost the service: two servers, with and without, in turn."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.signals.server import ServerProcess
from benchmarks.streaming import turn_seconds
from moodline.client import AsyncMoodlineClient
from moodline.v1.conversation_pb2 import Conversation

NO_RULES: Final = """
version: 1
name: nothing
rules:
  - id: never
    explanation: {en: Never.}
    reason: other
    severity: info
    when: "false"
"""
"""A rule set needs a rule."""
STREAM_COUNT: Final = 16


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over the conversations.

    Attributes:
        turn_ms: Median time of a turn of one stream and nothing else, in milliseconds.
        processor_ms: Processor time of the server a turn, many streams at a time, in milliseconds.
        turns_per_s: Of many streams, each sending its next turn when it has the result of the last.
    """

    turn_ms: float
    processor_ms: float
    turns_per_s: float


async def measure_round(
    server: ServerProcess, conversations: Sequence[Conversation], name: str
) -> Round:
    """Stream all conversations, one at a time and then many."""
    turn_count = sum(len(conversation.turns) for conversation in conversations)
    async with AsyncMoodlineClient(server.address) as client:

        async def stream(conversation: Conversation, part: str) -> list[float]:
            conversation_id = f"{name}-{part}-{conversation.conversation_id}"
            return await turn_seconds(client, conversation, conversation_id=conversation_id)

        seconds = [
            taken_s
            for conversation in conversations
            for taken_s in await stream(conversation, "alone")
        ]
        used_s, started_s = server.processor_s(), time.monotonic()

        async def send(part: Sequence[Conversation]) -> None:
            for conversation in part:
                await stream(conversation, "many")

        await asyncio.gather(*(send(conversations[i::STREAM_COUNT]) for i in range(STREAM_COUNT)))
        elapsed_s, used_s = time.monotonic() - started_s, server.processor_s() - used_s
    return Round(
        float(np.median(seconds)) * 1000, used_s / turn_count * 1000, turn_count / elapsed_s
    )


async def measure_overhead(
    conversations: Sequence[Conversation], *, rounds: int, folder: Path, log: Path
) -> dict[str, Any]:
    """Compare the default rules, kept in SQLite, with next to none, kept nowhere."""
    no_rules = folder / "none.yaml"
    no_rules.write_text(NO_RULES, encoding="utf-8")
    servers = {
        "off": ServerProcess({"RULES__PATH": str(no_rules), "STORE__URL": "none"}, log=log),
        "on": ServerProcess({"STORE__URL": f"sqlite:///{folder / 'overhead.db'}"}, log=log),
    }
    figures: dict[str, list[Round]] = {"off": [], "on": []}
    try:
        for server in servers.values():
            await server.start()
        for number in range(-1, rounds):
            # A busy host hits both; who goes first changes.
            for which in ("off", "on") if number % 2 else ("on", "off"):
                one = await measure_round(servers[which], conversations, f"round-{number}")
                if number >= 0:
                    figures[which].append(one)
    finally:
        for server in servers.values():
            await server.stop()
    return {
        "rounds": rounds,
        "turns_a_round": sum(len(conversation.turns) for conversation in conversations),
        "streams_at_a_time": STREAM_COUNT,
        **{
            quantity: {
                "off": [round(getattr(one, quantity), 3) for one in figures["off"]],
                "on": [round(getattr(one, quantity), 3) for one in figures["on"]],
                "ratio_on_to_off": round(
                    statistics.median(
                        getattr(on, quantity) / getattr(off, quantity)
                        for on, off in zip(figures["on"], figures["off"], strict=True)
                    ),
                    3,
                ),
            }
            for quantity in ("turn_ms", "processor_ms", "turns_per_s")
        },
    }
