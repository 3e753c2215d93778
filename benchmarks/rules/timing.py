"""What rules cost a turn, on one core.

The rules read results that lie in memory; the model is not part of the times, which are processor
time of the thread, so that a busy host does not count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from moodline.backtest.contacts import Contact
from moodline.rules.rule_set import RuleSet
from moodline.signals.engine import SignalEngine

LONG_CONVERSATION_TURNS: Final = 5_000
SINGLE_RULE_TURNS: Final = 1_000
"""Turns on which each rule is timed alone."""


def time_turns(engine: SignalEngine, contacts: Sequence[Contact]) -> tuple[list[int], list[int]]:
    """Run all conversations once.

    Returns:
        Nanoseconds of each turn at which nothing was told, and of each at which something was.
    """
    quiet_ns: list[int] = []
    told_ns: list[int] = []
    for contact in contacts:
        session = engine.open(contact.facts.contact_id, channel=contact.facts.channel)
        for turn in contact.turns:
            started_ns = time.thread_time_ns()
            events = session.add(turn)
            (told_ns if events else quiet_ns).append(time.thread_time_ns() - started_ns)
    return quiet_ns, told_ns


def time_long(engine: SignalEngine, contacts: Sequence[Contact]) -> list[int]:
    """Run one conversation made of all; nanoseconds of each turn."""
    results = [turn for contact in contacts for turn in contact.turns]
    session = engine.open("long")
    times_ns: list[int] = []
    for index in range(LONG_CONVERSATION_TURNS):
        result = replace(results[index % len(results)], turn_index=index)
        started_ns = time.thread_time_ns()
        session.add(result)
        times_ns.append(time.thread_time_ns() - started_ns)
    return times_ns


def time_rules(rule_set: RuleSet, contacts: Sequence[Contact], rounds: int) -> dict[str, float]:
    """Return the microseconds a turn of each rule alone, over those of a rule that never holds.

    Running values are kept for any rule and are no part of it. Of turns of other roles than the
    rule's, too.
    """
    content = rule_set.content

    def turn_us(rules: RuleSet) -> float:
        engine = SignalEngine(rules, model_version="", configuration_digest="")
        runs = [sum(map(sum, time_turns(engine, contacts))) for _ in range(rounds)]
        return min(runs) / 1000 / sum(len(contact.turns) for contact in contacts)

    never = content.rules[0].model_copy(update={"when": "false"})
    base_us = turn_us(RuleSet(content.model_copy(update={"rules": (never,)})))
    return {
        rule.id: round(turn_us(RuleSet(content.model_copy(update={"rules": (rule,)}))) - base_us, 1)
        for rule in content.rules
    }


def measure_times(rule_set: RuleSet, contacts: Sequence[Contact], *, rounds: int) -> dict[str, Any]:
    """Measure all times; of the rounds the fastest, which others disturbed least."""
    started_s = time.thread_time()
    RuleSet.default()
    load_s = time.thread_time() - started_s
    engine = SignalEngine(rule_set, model_version="", configuration_digest="")
    time_turns(engine, contacts)
    runs = [time_turns(engine, contacts) for _ in range(rounds)]
    quiet_ns, told_ns = min(runs, key=lambda run: sum(run[0]) + sum(run[1]))
    every_ns = sorted(quiet_ns + told_ns)
    long_ns = time_long(engine, contacts)
    tenth = LONG_CONVERSATION_TURNS // 10
    few: list[Contact] = []
    for contact in contacts:
        few.append(contact)
        if sum(len(one.turns) for one in few) >= SINGLE_RULE_TURNS:
            break
    return {
        "rules": len(rule_set.rules),
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
        "rule_alone_us": time_rules(rule_set, few, rounds),
    }


def _us(times_ns: Sequence[int]) -> float:
    return round(statistics.mean(times_ns) / 1000, 1) if times_ns else 0.0
