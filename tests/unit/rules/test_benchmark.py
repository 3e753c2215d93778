"""The benchmark of the rules: what it measures on, what it compares, and what it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.rules.bench import figures_of
from benchmarks.rules.identity import IdentityCount
from benchmarks.rules.sets import SETS, sampled
from benchmarks.rules.tables import render
from benchmarks.rules.timing import measure_times
from models.recipe.examples import TRAINING_SPLITS, hash_share
from moodline.backtest.contacts import Contact, ContactLabels
from moodline.backtest.running import signal_events
from moodline.domain import EscalationLevel
from moodline.rules.rule_set import RuleSet
from moodline.signals.engine import SignalEngine
from tests.unit.backtest.contacts import contact

RULES = RuleSet.parse(
    """
version: 1
name: small
rules:
  - id: theft
    explanation: {en: A theft.}
    reason: fraud
    severity: high
    when: turn.tagged.fraud
    probability: turn.tags.fraud
"""
)
ENGINE = SignalEngine(RULES, model_version="m", configuration_digest="d")


def contacts() -> list[Contact]:
    labels = ContactLabels(EscalationLevel.ESCALATE, 0, 0, ("fraud",))
    return [contact({"fraud": 0.9}, given=labels), contact({"fraud": 0.1}, name="quiet")]


def test_only_what_the_recipe_holds_out_counts_as_unseen(tmp_path: Path) -> None:
    (tmp_path / "synthetic").mkdir()
    rows = [
        {"id": f"s{number}", "split": split}
        for number in range(20)
        for split in (*TRAINING_SPLITS, "validation")
    ]
    file = tmp_path / "synthetic" / "part.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (written,) = (one for one in SETS if one.name == "written")
    held_out = list(written.rows(tmp_path))
    assert held_out
    assert all(row["split"] == "validation" and hash_share(row["id"]) >= 0.5 for row in held_out)
    assert [one.name for one in SETS if one.is_seen] == ["own"]


def test_sets_that_are_not_there_are_empty_and_a_sample_is_always_the_same(tmp_path: Path) -> None:
    own = next(one for one in SETS if one.name == "own")
    for one in SETS:
        assert one is own or [*one.rows(None), *one.rows(tmp_path)] == []
    assert sampled(own.rows(None), 5) == sampled(own.rows(None), 5)
    assert len({row["lang"] for row in sampled(own.rows(None), 50)}) == 3


def test_any_difference_but_one_of_probability_is_counted_by_conversation() -> None:
    events = signal_events(ENGINE, contacts()[0])
    count = IdentityCount()
    count.add("same", events, events)
    assert not count.different_ids
    assert count.max_probability_difference == 0
    near = [
        replace(e, signal=replace(e.signal, probability=e.signal.probability + 1e-7))
        for e in events
    ]
    count.add("near", near, events)
    assert not count.different_ids
    assert 0 < count.max_probability_difference < 1e-6
    count.add("missing", [], events)
    count.add("other", [replace(events[0], moment=None)], events)
    assert list(count.different_ids) == ["missing", "other"]
    assert (count.conversation_count, count.event_count) == (4, 3)


def test_the_page_tells_what_was_measured() -> None:
    results: dict[str, Any] = {
        "machine": {"processor": "P", "cpu_quota": 2},
        "rule_set_digest": RULES.digest,
        "model": "moodline-base 1",
        "model_digest": "d" * 64,
        "sets": {
            "own": {"title": "ours", "is_seen": True, "figures": figures_of(ENGINE, contacts())}
        },
        "identity": {
            "conversation_count": 2,
            "turn_count": 4,
            "event_count": 1,
            "different_ids": [],
            "max_probability_difference": 2e-8,
        },
        "times": measure_times(RULES, contacts(), rounds=1),
    }
    page = render(json.loads(json.dumps(results)))
    assert "## Ours (seen in training)" in page
    assert "| all | escalate | any | 100% (21–100) of 1 |" in page
    assert "**0 conversations differ**" in page
    assert "| theft |" in page
