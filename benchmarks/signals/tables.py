"""README.md from the raw results alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

README: Final = Path(__file__).parent / "README.md"

Json = Mapping[str, Any]

_QUANTITIES: Final = {
    "turn_ms": "one stream and nothing else: a turn, median, ms",
    "processor_ms": "many streams: processor time of the server a turn, ms",
    "turns_per_s": "many streams: turns a second",
}


def render(results: Json) -> str:
    """The page."""
    parts = ["# Signals: none lost, none doubled, and what they cost\n"]
    commands = ", ".join(f"`{one}`" for one in dict.fromkeys(results["commands"].values()))
    parts.append(f"From [results.json](results.json), which these commands wrote: {commands}.\n")
    machine, model = results["machine"], results["model"]
    parts.append(
        f"{machine['processor']}, {machine['cpu_quota']} processors, Python {machine['python']}, "
        f"ONNX Runtime {machine['onnxruntime']}; {model}; seed {results['seed']}.\n"
    )
    if results["kills"]:
        parts.append(_kills(results["kills"]))
    if results["overhead"]:
        parts.append(_overhead(results["overhead"]))
    return "\n".join(parts)


def _kills(runs: Mapping[str, Json]) -> str:
    lines = [
        "## kill -9 under load\n",
        "Live streams send conversations; a broken one is sent again from the start under the same",
        "id. Meanwhile somebody watches signals, coming again with the last token, and a receiver",
        "takes actions. Expected is what the model and the rules say without server and store.\n",
        "| | " + " | ".join(runs) + " |",
        "|---|" + "---|" * len(runs),
    ]

    def row(title: str, *path: str) -> None:
        values = []
        for run in runs.values():
            value: Any = run
            for name in path:
                value = value[name]
            if isinstance(value, Mapping):
                value = sum(value.values())
            values.append(f"{len(value) if isinstance(value, list) else value:,}")
        lines.append(f"| {title} | " + " | ".join(values) + " |")

    row("kills", "kills")
    row("streams at a time", "streams_at_a_time")
    row("streams begun", "streams_begun")
    row("of these broken", "streams_broken")
    row("conversations that came to their end", "conversations_finished")
    row("turns answered", "turns_answered")
    row("events of signals expected", "events_expected")
    row("**lost by the store**", "store", "lost")
    row("**doubled by the store**", "store", "doubled")
    row("in the store, but not expected", "store", "unexpected")
    row("told on a stream, but not in the store", "told_on_streams_but_not_stored")
    row("told again on a stream that was sent again", "events_told_again_on_streams")
    row("times that the watcher came", "watches")
    row("**lost by the watcher**", "watcher", "lost")
    row("**doubled for the watcher**", "watcher", "doubled")
    row("actions expected", "actions", "expected")
    row("**actions lost**", "actions", "lost")
    row("**actions doubled in effect**", "actions", "doubled_in_effect")
    row(
        "delivered again under the same idempotency key",
        *("actions", "delivered_again_under_the_same_key"),
    )
    return "\n".join(lines) + "\n"


def _overhead(overhead: Json) -> str:
    counts = f"{overhead['rounds']} rounds of {overhead['turns_a_round']:,} turns"
    lines = [
        "## Cost of signals\n",
        "Two servers in one run, in turn: with the default rules and a store in an SQLite file,",
        f"and with one rule that never holds and no store. {counts}; many streams are",
        f"{overhead['streams_at_a_time']}. The ratio is the median of the ratios of the rounds.\n",
        "| | off | on | on / off |",
        "|---|---|---|---|",
    ]
    for quantity, title in _QUANTITIES.items():
        figures = overhead[quantity]
        shown = [f"{sorted(figures[w])[len(figures[w]) // 2]:.2f}" for w in ("off", "on")]
        lines.append(f"| {title} | {' | '.join(shown)} | {figures['ratio_on_to_off']} |")
    return "\n".join(lines) + "\n"
