"""Measures the default rules over conversations that the model has read, on one core.

- a turn, with everything that signals cost: running values, conditions, matches, their life;
- the same for turns at which nothing is told, which are most, and for those at which something is;
- a turn at the beginning and at the end of a long conversation: it must not grow.

The rules read results that lie in memory; the model is not part of the times, which are processor
time of the thread, so that a busy host does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry

from benchmarks.machine import describe_machine
from moodline.analyzer import ConversationAnalyzer
from moodline.app import find_artifact, open_analyzer
from moodline.domain import Conversation, Role, Turn, TurnResult
from moodline.rules.rule_set import RuleSet
from moodline.settings import Settings
from moodline.signals.engine import SignalEngine
from moodline.telemetry.metrics import Metrics

DATA_DIR: Final = Path(__file__).parents[2] / "models" / "data"
RESULTS: Final = Path(__file__).parent / "results.json"
LONG_CONVERSATION_TURNS: Final = 5_000


def read_conversations() -> list[Conversation]:
    """The conversations that were written for moodline, in all three languages."""
    return [
        Conversation(
            row["id"],
            tuple(Turn(Role(turn["speaker"]), turn["text"]) for turn in row["turns"]),
            channel=row["channel"],
            language=row["lang"],
        )
        for language in ("en", "tr", "ar")
        for row in map(
            json.loads,
            (DATA_DIR / f"conversations_{language}.jsonl").read_text(encoding="utf-8").splitlines(),
        )
    ]


async def analyze_all(
    conversations: Sequence[Conversation],
) -> tuple[list[tuple[str, tuple[TurnResult, ...]]], ConversationAnalyzer]:
    """Read everything with the model in this process."""

    def fail(error: BaseException) -> None:
        raise error

    settings = Settings()
    async with open_analyzer(
        settings,
        artifact=find_artifact(settings),
        metrics=Metrics(CollectorRegistry()),
        on_fatal=fail,
    ) as analyzer:
        analyses = [await analyzer.analyze(conversation) for conversation in conversations]
    channels = [conversation.channel for conversation in conversations]
    return [
        (channel, analysis.turns) for channel, analysis in zip(channels, analyses, strict=True)
    ], analyzer


def time_turns(
    engine: SignalEngine, analysed: Sequence[tuple[str, tuple[TurnResult, ...]]]
) -> tuple[list[int], list[int]]:
    """Run all conversations once.

    Returns:
        Nanoseconds of each turn at which nothing was told, and of each at which something was.
    """
    quiet_ns: list[int] = []
    told_ns: list[int] = []
    for number, (channel, turns) in enumerate(analysed):
        session = engine.open(f"c{number}", channel=channel)
        for turn in turns:
            started_ns = time.thread_time_ns()
            events = session.add(turn)
            (told_ns if events else quiet_ns).append(time.thread_time_ns() - started_ns)
    return quiet_ns, told_ns


def time_long(
    engine: SignalEngine, analysed: Sequence[tuple[str, tuple[TurnResult, ...]]]
) -> list[int]:
    """Run one conversation made of all; nanoseconds of each turn."""
    results = [turn for _, turns in analysed for turn in turns]
    session = engine.open("long")
    times_ns: list[int] = []
    for index in range(LONG_CONVERSATION_TURNS):
        result = replace(results[index % len(results)], turn_index=index)
        started_ns = time.thread_time_ns()
        session.add(result)
        times_ns.append(time.thread_time_ns() - started_ns)
    return times_ns


def _us(times_ns: Sequence[int]) -> float:
    return round(statistics.mean(times_ns) / 1000, 1)


def measure(rounds: int) -> dict[str, Any]:
    """Measure everything; of the rounds the fastest, which others disturbed least."""
    analysed, analyzer = asyncio.run(analyze_all(read_conversations()))
    started_s = time.thread_time()
    rule_set = RuleSet.default()
    load_s = time.thread_time() - started_s
    engine = SignalEngine(
        rule_set,
        model_version=analyzer.artifact.model_version,
        configuration_digest=analyzer.artifact.digest,
    )
    time_turns(engine, analysed)
    runs = [time_turns(engine, analysed) for _ in range(rounds)]
    quiet_ns, told_ns = min(runs, key=lambda run: sum(run[0]) + sum(run[1]))
    every_ns = sorted(quiet_ns + told_ns)
    long_ns = time_long(engine, analysed)
    tenth = LONG_CONVERSATION_TURNS // 10
    return {
        "machine": describe_machine(),
        "model": analyzer.artifact.model_version,
        "rules": len(rule_set.rules),
        "rule_set_digest": rule_set.digest[:12],
        "load_ms": round(1000 * load_s),
        "turns": len(every_ns),
        "turn_us": _us(every_ns),
        "turn_p99_us": round(every_ns[int(0.99 * len(every_ns))] / 1000, 1),
        "rule_a_turn_us": round(_us(every_ns) / len(rule_set.rules), 2),
        "turn_at_which_nothing_is_told_us": _us(quiet_ns),
        "turn_at_which_something_is_told_us": _us(told_ns),
        "share_of_turns_at_which_something_is_told": round(len(told_ns) / len(every_ns), 3),
        "long_conversation": {
            "turns": LONG_CONVERSATION_TURNS,
            "first_tenth_turn_us": round(statistics.median(long_ns[:tenth]) / 1000, 1),
            "last_tenth_turn_us": round(statistics.median(long_ns[-tenth:]) / 1000, 1),
        },
    }


def main() -> None:
    """Measure, print, and write the figures beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    results = measure(parser.parse_args().rounds)
    text = json.dumps(results, indent=1)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    print(text)
