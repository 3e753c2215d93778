"""README.md from the raw results alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

README: Final = Path(__file__).parent / "README.md"

Json = Mapping[str, Any]


def render(results: Json) -> str:
    """The page."""
    machine = results["machine"]
    parts = [
        "# Scoring jobs: rate, scaling, memory, recovery, formats\n",
        (
            "From [results.json](results.json), which these commands wrote: "
            + ", ".join(f"`{one}`" for one in dict.fromkeys(results["commands"].values()))
            + ".\n"
        ),
        (
            f"{machine['processor']}, {machine['cpu_quota']} processors, "
            f"Python {machine['python']}, ONNX Runtime {machine['onnxruntime']}; "
            f"{results['model']}; seed {results['seed']}.\n"
        ),
        _rates(results["rates"]),
        _memory(results["memory"]),
        _recovery(results["recovery"]),
        _parsing(results["parsing"]),
    ]
    return "\n".join(parts)


def _rates(rates: Json) -> str:
    bare = "bare engine"
    rows = [
        (
            name,
            f"{rates['conversations_per_s'][name]:,}",
            f"{rates['turns_per_s'][name]:,}",
            "" if name == bare else f"{rates['ratio_to_bare_engine'][name]:.2f}",
        )
        for name in rates["turns_per_s"]
    ]
    return "\n".join(
        [
            "## Rate\n",
            (
                f"{rates['conversation_count']:,} conversations of {rates['turn_count']:,} turns, "
                f"{len(rates['turns_per_s_rounds'])} rounds in which all take turns; medians. "
                "The bare engine is both networks with all threads, without tokenizer, scores and "
                "files; of the jobs, loading the model is left out. The cache of repeated turns "
                "is off. The ratio is the median of the ratios of the rounds.\n"
            ),
            *_table(("", "conversations/s", "turns/s", "of the bare engine"), rows),
            "",
            (
                f"From 1 to {rates['scaling']['process_count']} processes of one thread: "
                f"**{rates['scaling']['factor']:.2f} times** the rate.\n"
            ),
        ]
    )


def _memory(memory: Json) -> str:
    rows = [
        (f"{one['input_bytes'] / 1e6:.1f}", f"{one['turn_count']:,}", f"{one['peak_mb']:,.0f}")
        for one in memory["inputs"]
    ]
    return "\n".join(
        [
            "## Memory\n",
            (
                f"The most of all processes together ({memory['process_count']} that score, and "
                "the job), shared pages counted for each.\n"
            ),
            *_table(("input, MB", "turns", "peak, MB"), rows),
            "",
        ]
    )


def _recovery(recovery: Json) -> str:
    rows = [
        ("kill -9 at random moments", recovery["kill_count"]),
        ("of these before anything more was finished", recovery["fruitless_kill_count"]),
        ("conversations", recovery["conversation_count"]),
        ("**lost**", recovery["lost_count"]),
        ("**doubled**", recovery["doubled_count"]),
        ("largest difference of a sentiment score", f"{recovery['largest_difference']:.1e}"),
    ]
    return "\n".join(
        [
            "## Recovery\n",
            "A job that is killed and gone on with, against one that nobody disturbed.\n",
            *_table(("", ""), rows),
            "",
        ]
    )


def _parsing(parsing: Json) -> str:
    rows = []
    for name, samples in parsing.items():
        read = [one for one in samples if one["turn_count"] and not one["unreadable_count"]]
        turn_count = sum(one["turn_count"] for one in samples)
        right_count = sum(one["right_turn_count"] for one in samples)
        rows.append((name, f"{len(read)} of {len(samples)}", f"{right_count:,} of {turn_count:,}"))
    lines = [
        "## Formats\n",
        (
            "Files whose format is detected and that are read whole, and turns with the text and "
            "the role on record.\n"
        ),
        *_table(("samples", "files read", "turns as expected"), rows),
        "",
    ]
    for name, samples in parsing.items():
        for one in samples:
            if one["unreadable_count"] or not one["turn_count"]:
                lines.append(f"- {name}, `{one['file']}`: {one['unreadable_count']} refused.")
            elif one["right_turn_count"] < one["turn_count"]:
                lines.append(
                    f"- {name}, `{one['file']}`: {one['right_turn_count']} of {one['turn_count']} "
                    "turns as expected."
                )
    return "\n".join(lines) + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
        *(f"| {' | '.join(map(str, row))} |" for row in rows),
    ]
