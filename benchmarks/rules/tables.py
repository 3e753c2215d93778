"""The page of the results, from the raw results alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

_Figures = Mapping[str, Any]

_INTRODUCTION: Final = """\
# Default rules

Written by `python -m benchmarks.rules --data-root DATA` from `results.json`; `--render` writes it
again without measuring, `--sample 50 --output /tmp/look` is a quick look. What each figure means
stands in [docs/backtest.md](../../docs/backtest.md).

- An alert is a signal above `info`. It **finds** contacts that reached the level by their labels,
  **in time** at the labelled turn or before it. **Lead** is the turns by which the first alert came
  before that turn: median and quartiles of those that were found.
- **Quiet** contacts are those whose label says that nobody had to step in.
- Intervals cover 95 %: Wilson's for shares, the normal one of a mean for rates.
- Labels were given by a large language model that read every conversation by the annotation guide,
  not by a crowd of people.
- Conversations that the model has seen in training flatter the rules; they are marked.
- The default rules were looked through for plain faults on these sets once, and worked on against
  half of `own` and half of the real contacts of training, so nothing here is
  wholly unseen by those who wrote them.
"""


def render(results: Mapping[str, Any]) -> str:
    """Return the page."""
    lines = [_INTRODUCTION, _stated(results)]
    for one in results["sets"].values():
        lines += _set(one)
    lines += ["## Live and backtest", "", _identity(results["identity"]), ""]
    lines += _times(results["times"])
    return "\n".join(lines).rstrip() + "\n"


def _stated(results: Mapping[str, Any]) -> str:
    machine = results["machine"]
    return (
        f"Rules `{results['rule_set_digest'][:12]}`, model `{results['model']}` "
        f"(`{results['model_digest'][:12]}`), {machine['cpu_quota']} cores of "
        f"{machine['processor']}.\n"
    )


def _set(one: Mapping[str, Any]) -> Iterator[str]:
    figures = one["figures"]
    total = figures["total"]
    seen = " (seen in training)" if one["is_seen"] else ""
    yield from (f"## {one['title'].capitalize()}{seen}", "")
    groups = [total, *(g for g in figures["languages"] if g["contact_count"] > 1)]
    yield from _table(
        ("", "contacts", "alerts a 100", "a 100 quiet contacts"),
        (
            (g["name"], str(g["contact_count"]), _rate(g["alerts"]), _rate(g["quiet_alerts"]))
            for g in groups
        ),
    )
    yield from _table(
        ("", "finds", "of severity", "precision", "recall", "in time", "lead, turns"),
        (row for group in groups for row in _detections(group)),
    )
    yield from _table(
        ("reason", "alerts a 100", "precision", "recall"),
        (
            (r["reason"], _rate(r["rate"]), _share(r["precision"]), _share(r["recall"]))
            for r in figures["reasons"]
        ),
    )


def _detections(group: _Figures) -> Iterator[tuple[str, ...]]:
    """Yield any alert for both levels, and for ESCALATE also those of high severity."""
    for one in group["detections"]:
        if one["min_severity"] == "low" or (
            one["min_severity"] == "high" and one["target"] == "ESCALATE"
        ):
            yield (
                group["name"],
                "escalate" if one["target"] == "ESCALATE" else "watch or more",
                "any" if one["min_severity"] == "low" else "high or more",
                _share(one["precision"]),
                _share(one["recall"]),
                _share(one["recall_in_time"]),
                _lead(one["lead_time"]),
            )


def _identity(found: Mapping[str, Any]) -> str:
    different = found["different_ids"]
    return (
        f"{found['conversation_count']:,} conversations with {found['turn_count']:,} turns, held "
        f"live and backtested: {found['event_count']:,} signal events, of which those of "
        f"**{len(different)} conversations differ** in id, kind, turn, rule, severity, state, "
        f"quotes or contributing turns. Probabilities differ by at most "
        f"{found['max_probability_difference']:.1e}."
    )


def _times(times: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Cost", "")
    long = times["long_conversation"]
    yield (
        f"{times['rules']} rules over {times['turns']:,} turns that lie in memory, processor time "
        f"of one core: {times['turn_us']} µs a turn ({times['turn_p99_us']} µs at the 99th "
        f"percentile), {times['rule_a_turn_us']} µs a rule. Turns at which nothing is told take "
        f"{times['turn_at_which_nothing_is_told_us']} µs, the others, "
        f"{times['share_of_turns_at_which_something_is_told']:.1%}, "
        f"{times['turn_at_which_something_is_told_us']} µs. In a conversation of {long['turns']:,} "
        f"turns the first tenth takes {long['first_tenth_turn_us']} µs a turn, the last "
        f"{long['last_tenth_turn_us']} µs. Loading takes {times['load_ms']} ms."
    )
    yield ""
    alone = sorted(times["rule_alone_us"].items(), key=lambda item: -item[1])
    yield "Each rule alone, over what is computed for any rule:"
    yield ""
    yield from _table(("rule", "µs a turn"), ((name, f"{us:.1f}") for name, us in alone))


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    ruler = ["---", *("---:" for _ in headings[1:])]
    lines = [headings, ruler, *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _share(one: Mapping[str, Any]) -> str:
    if one["value"] is None:
        return "–"
    low, high = one["interval"]["low"], one["interval"]["high"]
    return f"{one['value']:.0%} ({100 * low:.0f}–{100 * high:.0f}) of {one['whole']}"


def _rate(one: Mapping[str, Any]) -> str:
    if one["per_100"] is None or one["interval"] is None:
        return "–"
    return f"{one['per_100']:.1f} ({one['interval']['low']:.1f}–{one['interval']['high']:.1f})"


def _lead(one: Mapping[str, Any]) -> str:
    if one["median_turns"] is None:
        return "–"
    quartiles = f"{one['lower_quartile_turns']:+g} to {one['upper_quartile_turns']:+g}"
    return f"{one['median_turns']:+g} ({quartiles})"
