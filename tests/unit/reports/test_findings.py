"""Findings are what anybody finds who counts in the results file, and take no memory to find."""

import gc
import itertools
import random
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moodline.domain import EscalationLevel, SentimentLabel, UrgencyLevel
from moodline.jobs.result_format import ResultFormat
from moodline.reports.findings import (
    MAX_GROUPS,
    MAX_TOLD_FAILURES,
    ConversationOutcome,
    Findings,
    MoodSpread,
    Selection,
    find,
    mood_by_tenth,
    outcome_of,
)
from moodline.reports.reading import read_results
from moodline.reports.results import (
    Entry,
    FailedItem,
    RaisedSignal,
    Rollup,
    ScoredConversation,
    ScoredTurn,
)
from tests.unit.reports.harness import CONVERSATION_COUNT, records

ALL = Selection()


def turn(score: float, *tags: str, stage: str = "support", index: int = 0) -> ScoredTurn:
    label = SentimentLabel.NEGATIVE if score < -0.3 else SentimentLabel.NEUTRAL
    return ScoredTurn(index, label, score, stage, tags)


def conversation(name: str, *turns: ScoredTurn, channel: str = "chat") -> ScoredConversation:
    score = statistics.fmean(one.score for one in turns) if turns else 0.0
    rollup = Rollup(
        score=score,
        begin_score=None,
        end_score=None,
        trend="",
        urgency_level=UrgencyLevel.LOW,
        urgency_peak_level=UrgencyLevel.LOW,
        escalation_level=EscalationLevel.NONE,
        escalation_peak_level=EscalationLevel.NONE,
        stage_path=(),
        expected_csat=3.0,
    )
    return ScoredConversation(
        conversation_id=name,
        source="s",
        number=1,
        channel=channel,
        language="en",
        is_language_measured=True,
        turn_count=len(turns),
        rollup=rollup if turns else None,
        absence="" if turns else "INSUFFICIENT_TURNS",
        turns=turns,
        warnings=(),
        signals=None,
        model=("m", "d"),
    )


def found_in(path: Path, selection: Selection = ALL) -> Findings:
    return find(read_results([path]), selection=selection, max_ranked=5)


def counted(path: Path) -> dict[str, Any]:
    """Count again, from the lines alone and in another way."""
    lines = list(records(path))
    scored = [one for one in lines if one["status"] == "scored" and "sentiment" in one]
    turns = [turn for one in scored for turn in one["turns"] if "sentiment" in turn]
    paths = [[stage["name"] for stage in one["stage"].get("stage_path", [])] for one in scored]
    tagged = [(t, tag["name"]) for t in turns for tag in t["tags"]]
    negative = {"NEGATIVE", "VERY_NEGATIVE"}
    escalated = [one for one in scored if one["escalation"]["peak_level"] == "ESCALATE"]
    has_billing = [
        one for one in scored if any(tag["name"] == "billing" for tag in one.get("tags", []))
    ]
    return {
        "conversations": sum(one["status"] == "scored" for one in lines),
        "scored": len(scored),
        "failed": sum(one["status"] == "failed" for one in lines),
        "all turns": sum(len(one.get("turns", [])) for one in lines),
        "turns": len(turns),
        "mood": statistics.fmean(one["sentiment"]["score"] for one in scored),
        "csat": statistics.fmean(one["expected_csat"] for one in scored),
        "begin": statistics.fmean(
            one["sentiment"]["begin_score"] for one in scored if "begin_score" in one["sentiment"]
        ),
        "escalated": len(escalated),
        "urgent at end": sum(one["urgency"]["level"] == "CRITICAL" for one in scored),
        "steps": Counter(step for path in paths for step in itertools.pairwise(path)),
        "begins": Counter(path[0] for path in paths if path),
        "passed": Counter(stage for path in paths for stage in set(path)),
        "support mood": statistics.fmean(
            t["sentiment"]["score"] for t in turns if t["stage"]["name"] == "support"
        ),
        "billing negative": sum(
            tag == "billing" and t["sentiment"]["label"] in negative for t, tag in tagged
        ),
        "billing conversations": len(has_billing),
        "billing escalated": sum(one in escalated for one in has_billing),
        "support billing": sum(
            tag == "billing" and t["stage"]["name"] == "support" for t, tag in tagged
        ),
        "languages": Counter(one["language"] for one in lines if one["status"] == "scored"),
        "worst": [
            one["conversation_id"]
            for one in sorted(
                (one for one in scored if one["sentiment"]["customer_turn_count"] > 1),
                key=lambda one: one["sentiment"]["score"],
            )
        ][:5],
        "trends": Counter(label for one in scored if (label := one["sentiment"]["trend"]["label"])),
    }


def told(found: Findings) -> dict[str, Any]:
    total, billing, stages = found.total, found.tags["billing"], found.stages
    return {
        "conversations": total.conversation_count,
        "scored": total.scored_count,
        "failed": found.failed_count,
        "all turns": found.all_turn_count,
        "turns": total.turn_count,
        "mood": total.mood.value,
        "csat": total.csat.value,
        "begin": total.begin.value,
        "escalated": total.escalation_peaks["ESCALATE"],
        "urgent at end": total.urgency_ends["CRITICAL"],
        "steps": found.transitions,
        "begins": +Counter({name: stage.begin_count for name, stage in stages.items()}),
        "passed": +Counter({name: stage.conversation_count for name, stage in stages.items()}),
        "support mood": stages["support"].turns.mood.value,
        "billing negative": billing.turns.negative_count,
        "billing conversations": billing.conversation_count,
        "billing escalated": billing.escalated_count,
        "support billing": found.pains["support", "billing"].mood.count,
        "languages": Counter(
            {name: group.conversation_count for name, group in found.by_language.by_name.items()}
        ),
        "worst": [one.conversation.conversation_id for one in found.worst],
        "trends": found.trends,
    }


@pytest.mark.parametrize("form", ResultFormat)
def test_findings_are_those_of_the_file_in_every_form(
    results: dict[ResultFormat, Path], form: ResultFormat
) -> None:
    expected = counted(results[ResultFormat.JSONL])
    actual = told(found_in(results[form]))
    for name, value in expected.items():
        wanted = pytest.approx(value, abs=1e-12) if isinstance(value, float) else value
        assert actual[name] == wanted, name
    assert expected["scored"] == CONVERSATION_COUNT - 2


def test_all_forms_give_the_same_but_for_what_a_form_cannot_hold(
    results: dict[ResultFormat, Path],
) -> None:
    found = {form: found_in(path) for form, path in results.items()}
    lines, vcon = found[ResultFormat.JSONL], found[ResultFormat.VCON]
    parquet, csv = found[ResultFormat.PARQUET], found[ResultFormat.CSV]
    assert parquet.warnings == csv.warnings == lines.warnings
    assert lines.warnings["ROLE_UNCERTAIN"] > 5
    assert not vcon.is_warnings_known
    for name in ("total", "curves", "whole_curve", "stages", "tags", "pains", "by_channel"):
        assert getattr(parquet, name) == getattr(csv, name) == getattr(lines, name), name
    for name in ("curves", "whole_curve", "stages", "tags", "pains"):
        assert getattr(vcon, name) == getattr(lines, name), name
    for one in (parquet, csv, vcon):
        assert [ranked.lowest for ranked in one.worst] == [ranked.lowest for ranked in lines.worst]


def test_the_curve_is_the_mean_of_the_conversations(results: dict[ResultFormat, Path]) -> None:
    path = results[ResultFormat.JSONL]
    whole = found_in(path).whole_curve
    last = [
        [turn["sentiment"]["score"] for turn in one["turns"] if "sentiment" in turn]
        for one in records(path)
        if one["status"] == "scored"
    ]
    long = [scores for scores in last if len(scores) >= 3]
    assert whole[0].mean.count == whole[9].mean.count == len(long) > 20
    # Up to eleven turns, none shares the first or last tenth.
    assert whole[0].mean.value == pytest.approx(statistics.fmean(scores[0] for scores in long))
    assert whole[9].mean.value == pytest.approx(statistics.fmean(scores[-1] for scores in long))


@pytest.mark.parametrize(
    ("scores", "tenths"),
    [
        ([0.1, 0.9], [0.1] * 9 + [0.9]),
        ([-1.0, 0.0, 1.0], [-1.0] * 5 + [0.0] * 4 + [1.0]),
        ([n / 10 for n in range(11)], [n / 10 for n in range(9)] + [0.95]),
        ([0.0] * 10 + [1.0] * 11, [0.0] * 5 + [1.0] * 5),
    ],
)
def test_mood_stands_until_the_next_turn(scores: list[float], tenths: list[float]) -> None:
    assert mood_by_tenth(scores) == pytest.approx(tenths)


@pytest.mark.parametrize(
    ("turns", "outcome"),
    [
        ([], "not told"),
        ([turn(0, "billing")], "not told"),
        ([turn(0, "resolved"), turn(0)], "resolved"),
        ([turn(0, "resolved"), turn(0, "billing", "unresolved")], "unresolved"),
        ([turn(0, "resolved", "unresolved")], "resolved"),
    ],
)
def test_the_last_turn_that_tells_an_outcome_gives_it(
    turns: list[ScoredTurn], outcome: str
) -> None:
    assert outcome_of(turns) == ConversationOutcome(outcome)


def test_quartiles_are_right_to_half_a_bin() -> None:
    source = random.Random(3)
    moods = [source.triangular(-1, 1, -0.8) for _ in range(4001)]
    spread = MoodSpread()
    for mood in moods:
        spread.add(mood)
    for share, exact in zip((0.25, 0.5, 0.75), statistics.quantiles(moods), strict=True):
        assert spread.quantile(share) == pytest.approx(exact, abs=0.006)
    assert MoodSpread().quantile(0.5) is None


def test_extreme_moods_have_a_place() -> None:
    spread = MoodSpread()
    spread.add(-1.0)
    spread.add(1.0)
    assert spread.quantile(0.1) == pytest.approx(-1, abs=0.003)
    assert spread.quantile(1.0) == pytest.approx(1, abs=0.003)


def test_what_is_held_does_not_grow_with_the_results() -> None:
    most = 0
    channel = "channel of what is held"

    def is_of_this_test(one: object) -> bool:
        return type(one) is ScoredConversation and one.channel.startswith(channel)

    def many() -> Iterator[Entry]:
        nonlocal most
        source = random.Random(1)
        for number in range(3000):
            if number % 500 == 499:
                most = max(most, sum(map(is_of_this_test, gc.get_objects())))
            if number % 3 == 0:
                yield FailedItem("s", f"line {number}", "", "UNREADABLE", ("bad",))
            else:
                moods = (turn(source.uniform(-1, 1)) for _ in range(3))
                yield conversation(f"c{number}", *moods, channel=f"{channel} {number}")

    found = find(many(), selection=ALL, max_ranked=5)
    assert found.total.conversation_count == 2000
    assert most <= 2 * 5 + 2
    assert len(found.by_channel.by_name) == MAX_GROUPS
    assert found.by_channel.others.conversation_count == 2000 - MAX_GROUPS
    assert len(found.told_failures) == MAX_TOLD_FAILURES
    assert found.failures == {"UNREADABLE": 1000}


def test_ranks_go_by_mean_mood_and_one_turn_has_none() -> None:
    entries = [
        conversation("single", turn(-1.0)),
        conversation("silent"),
        *(conversation(f"c{n}", turn(n / 10, index=0), turn(-0.1, index=2)) for n in range(6)),
        conversation("c0 again", turn(0.0), turn(-0.1)),
    ]
    found = find(iter(entries), selection=ALL, max_ranked=2)
    assert [one.conversation.conversation_id for one in found.best] == ["c5", "c4"]
    assert [one.conversation.conversation_id for one in found.worst] == ["c0", "c0 again"]
    assert found.worst[0].lowest.turn_index == 2
    assert found.ranked_count == 7
    assert found.absences == {"INSUFFICIENT_TURNS": 1}


@pytest.mark.parametrize(
    ("languages", "channels", "names"),
    [
        ({"en"}, set(), ["a", "b"]),
        ({"en-gb"}, set(), ["b"]),
        ({"e"}, set(), []),
        (set(), {"e-posta"}, ["b", "c"]),
        ({"en"}, {"e-posta"}, ["b"]),
        (set(), {""}, ["d"]),
        ({"en", "tr"}, set(), ["a", "b", "c"]),
    ],
)
def test_filters_leave_what_they_name(
    languages: set[str], channels: set[str], names: list[str]
) -> None:
    some = conversation("a", turn(0.1), turn(0.2))
    entries = [
        some,
        replace(some, conversation_id="b", language="en-GB", channel="E-Posta"),
        replace(some, conversation_id="c", language="tr", channel="e-posta"),
        replace(some, conversation_id="d", language="und", channel=""),
    ]
    selection = Selection(frozenset(languages), frozenset(channels))
    found = find(iter(entries), selection=selection, max_ranked=9)
    assert [one.conversation.conversation_id for one in found.best] == names
    assert found.left_out_count == 4 - len(names)


def test_signals_are_counted_by_reason_and_severity() -> None:
    some = conversation("a", turn(0.1))
    churn = RaisedSignal("churn_risk", "high")
    entries = [some, replace(some, signals=()), replace(some, signals=(churn, churn))]
    found = find(iter(entries), selection=ALL, max_ranked=1)
    assert found.is_signals_known
    assert (found.signals, found.signalled_count) == ({("churn_risk", "high"): 2}, 1)


def test_several_results_are_added_and_the_same_ones_count_once(
    results: dict[ResultFormat, Path],
) -> None:
    tables, parquet = results[ResultFormat.CSV], results[ResultFormat.PARQUET]
    paths = [tables, tables / "turns.csv", tables / "conversations.csv"]
    once = find(read_results(paths), selection=ALL, max_ranked=1)
    assert once.total.conversation_count == CONVERSATION_COUNT - 1
    twice = find(read_results([*paths, parquet]), selection=ALL, max_ranked=1)
    assert twice.total.conversation_count == 2 * (CONVERSATION_COUNT - 1)
