"""The tables of README.md, from the raw results alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.accuracy.aims import figure_title, with_interval
from benchmarks.accuracy.measure import GUIDE
from benchmarks.accuracy.published import ALL, LANGUAGE_MEAN, PUBLISHED
from benchmarks.accuracy.sets import GUIDE_SETS

BEGIN: Final = "<!-- results: written by python -m benchmarks.accuracy -->"
END: Final = "<!-- /results -->"

_PLOTS: Final = {
    "heads.svg": "Figures of the heads on conversations",
    "sentiment_sets.svg": "Three-way macro-F1 by set",
    "languages.svg": "Three-way macro-F1 by language of UMSAB",
    "tags.svg": "F1 of each tag",
    "reliability.png": "Confidence and accuracy of each head and language",
    "faithfulness.svg": "Movement of scores without the quoted words",
    "confusions_heads.svg": "Confusion matrices of the heads",
    "confusions_sets.svg": "Confusion matrices of three-way sentiment by set",
}
_HEAD_FIGURES: Final = (
    "sentiment3_macro_f1",
    "sentiment3_macro_recall",
    "sentiment_macro_f1",
    "sentiment_qwk",
    "urgency_macro_f1",
    "urgency_qwk",
    "stage_macro_f1",
    "tags_micro_f1",
    "tags_macro_f1",
    "escalation_macro_f1",
    "escalate_average_precision",
    "at_least_watch_average_precision",
    "early_warning_average_precision",
    "csat_macro_f1",
    "csat_mean_absolute_error",
)
_INTENT_FIGURES: Final = (
    "tags_micro_f1",
    "tags_macro_f1",
    "urgency_macro_f1",
    "urgency_qwk",
    "stage_macro_f1",
)

Json = Mapping[str, Any]


def write_tables(results: Json, plots: Collection[str], path: Path) -> None:
    """Replace what stands between the markers of `path`; a new file holds nothing else."""
    text = path.read_text(encoding="utf-8") if path.exists() else f"{BEGIN}\n{END}\n"
    path.write_text(splice(text, render(results, plots)), encoding="utf-8")


def splice(text: str, tables: str) -> str:
    """Put `tables` between the markers of `text`.

    Raises:
        ValueError: If it does not hold both markers once.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"the text must hold {BEGIN!r} and {END!r} once each")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def render(results: Json, plots: Collection[str]) -> str:
    """All tables, and those of the plots that were drawn."""
    figures = results["figures"]
    sections = (
        (_summary(results), ()),
        (_aims(results["aims"]), ()),
        (_conversations(figures), ("heads.svg",)),
        (_texts(results), ("sentiment_sets.svg", "languages.svg")),
        (_intent_sets(figures), ()),
        (_lexicons(results["lexicons"]), ()),
        (_published(figures), ()),
        (_compared(results.get("float"), "8 bits against float", "shipped", "float"), ()),
        (_compared(results.get("teacher"), "Student against teacher", "student", "teacher"), ()),
        (_tags(results["tags"]), ("tags.svg",)),
        (_calibration(results["calibration"]), ("reliability.png",)),
        (_early_warning(results["early_warning"]), ()),
        (_faithfulness(results["faithfulness"]), ("faithfulness.svg",)),
        ("## What is taken for what", ("confusions_heads.svg", "confusions_sets.svg")),
    )
    blocks = [
        block
        for text, names in sections
        if text
        for block in (
            text,
            *(f"![{_PLOTS[name]}](plots/{name})" for name in names if name in plots),
        )
    ]
    return "\n\n".join(blocks)


def _summary(results: Json) -> str:
    turns = sum(each["turns"] for each in results["sets"].values())
    machine = results["machine"]
    text = (
        f"`{results['model']['version']}`, digest `{results['model']['digest'][:12]}`: "
        f"{turns:,} labelled turns and texts of {len(results['sets'])} sets in "
        f"{results['seconds']:,.0f} s on {machine['cpu_quota']} cores of {machine['processor']}. "
        f"`{results['command']}`."
    )
    if results["absent_sets"]:
        absent = ", ".join(f"`{name}`" for name in results["absent_sets"])
        text += f" Not there and left out: {absent}."
    return text


def _aims(aims: Sequence[Json]) -> str:
    rows = [[each["what"], each["aim"], each["reached"], each["met"]] for each in aims]
    return "## Aimed at and reached\n\n" + table(["what", "aim", "reached", "met"], rows)


def _conversations(figures: Json) -> str:
    sections = ["## Conversations, every head"]
    for source in GUIDE_SETS:
        if source not in figures:
            continue
        parts = {p: v for p, v in figures[source].items() if p != LANGUAGE_MEAN}
        rows = [
            [figure_title(name), *(_cell(part.get(name)) for part in parts.values())]
            for name in _HEAD_FIGURES
            if any(name in part for part in parts.values())
        ]
        sections.append(f"`{source}`\n\n" + table(["figure", *parts], rows))
    return "\n\n".join(sections)


def _texts(results: Json) -> str:
    rows = []
    for source, parts in results["figures"].items():
        if source in GUIDE_SETS:
            continue
        counts = results["sets"][source]
        for part, figures in parts.items():
            if "sentiment3_macro_f1" in figures:
                rows.append(
                    [
                        f"`{source}`",
                        part,
                        _sampled(counts) if part == ALL else "",
                        with_interval(figures["sentiment3_macro_f1"]),
                        f"{figures['sentiment3_macro_recall']['value']:.3f}",
                        f"{figures['sentiment3_ece']['value']:.3f}",
                        _cell(figures.get("sentiment_qwk")),
                    ]
                )
    if not rows:
        return ""
    header = ["set", "language", "rows", "3-way macro-F1", "macro-recall", "ECE", "5-way QWK"]
    return "## Sentiment of single texts\n\n" + table(header, rows)


def _intent_sets(figures: Json) -> str:
    rows = [
        [f"`{source}`", part, *(_cell(found.get(name)) for name in _INTENT_FIGURES)]
        for source, parts in figures.items()
        if source not in GUIDE_SETS
        for part, found in parts.items()
        if any(name in found for name in _INTENT_FIGURES)
    ]
    if not rows:
        return ""
    header = ["set", "language", *map(figure_title, _INTENT_FIGURES)]
    return (
        "## Tags, urgency and stage of single texts\n\nWhat a set tells of them: few of the tags, "
        "the others are not counted.\n\n" + table(header, rows)
    )


def _lexicons(lexicons: Json) -> str:
    if not lexicons:
        return ""
    names = list(next(iter(lexicons.values())))
    rows = [
        [
            f"`{source}`",
            f"{models['moodline']['sentiment3_macro_f1']['n']:,}",
            *(_cell(models[name]["sentiment3_macro_f1"]) for name in names),
            *(f"{models[name]['sentiment3_macro_recall']['value']:.3f}" for name in names),
        ]
        for source, models in lexicons.items()
    ]
    header = ["set", "n", *(f"{n}, F1" for n in names), *(f"{n}, recall" for n in names)]
    return "## Against lexicons, the same English rows\n\n" + table(header, rows)


def _published(figures: Json) -> str:
    rows = []
    for each in PUBLISHED:
        found = figures.get(each.source, {}).get(each.part, {}).get(each.figure)
        if found is not None:
            rows.append(
                [
                    f"`{each.source}`",
                    each.part,
                    figure_title(each.figure),
                    each.model,
                    f"{each.value:.3f}",
                    with_interval(found),
                    each.origin + (f"; {each.note}" if each.note else ""),
                ]
            )
    if not rows:
        return ""
    header = ["set", "language", "figure", "model", "published", "moodline", "source"]
    return "## Against published figures\n\n" + table(header, rows)


def _compared(compared: Json | None, title: str, ours: str, theirs: str) -> str:
    if compared is None:
        return ""
    rows = [
        [
            f"`{source}`",
            figure_title(name),
            f"{found['ours']:.3f}",
            f"{found['theirs']:.3f}",
            f"{found['difference']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]",
            f"{found['n']:,}",
        ]
        for source, figures in compared["differences"].items()
        for name, found in figures.items()
    ]
    header = ["set", "figure", ours, theirs, "difference", "n"]
    return f"## {title}\n\n`{compared['version']}`, paired on the same turns.\n\n" + table(
        header, rows
    )


def _tags(tags: Json) -> str:
    if GUIDE not in tags:
        return ""
    found = sorted(tags[GUIDE].items(), key=lambda pair: -pair[1]["n"])
    rows = [[f"`{name}`", _cell(each), f"{each['n']:,}"] for name, each in found if each["n"] >= 5]
    rare = [f"`{name}` ({each['n']})" for name, each in found if each["n"] < 5]
    text = "## Tags of conversations\n\n" + table(["tag", "F1, n is how often it holds"], rows)
    if rare:
        text += f"\n\nToo rare for a figure: {', '.join(rare)}."
    return text


def _calibration(calibration: Json) -> str:
    rows = [
        [
            scope,
            language,
            head,
            f"{each['ece']:.3f}",
            f"{each['ece_by_chance']:.3f}",
            f"{each['n']:,}",
        ]
        for scope, languages in calibration.items()
        for language, heads in languages.items()
        for head, each in heads.items()
    ]
    header = ["of", "language", "head", "ECE", "by chance alone", "n"]
    return "## Calibration\n\n" + table(header, rows)


def _early_warning(found: Json) -> str:
    if not found:
        return ""
    names = {"early_warning": "early warning", "escalation": "P(`ESCALATE`), to compare"}
    rows = [
        [
            names[name],
            _cell(score["average_precision"]),
            f"{each['false_alarm_share']:.0%} of {each['quiet_conversations']}",
            f"{each['warned']} of {each['escalating_conversations']}",
            "" if each["median_lead_turns"] is None else f"{each['median_lead_turns']:.1f}",
        ]
        for name, score in found["scores"].items()
        for each in score["lead"]
    ]
    header = [
        "score",
        "average precision",
        "quiet conversations warned of",
        "escalating ones warned of in time",
        "median lead, customer turns",
    ]
    text = (
        f"On {found['turns']:,} customer turns of conversations that have not escalated; "
        f"{found['share_before_escalation']:.1%} of them stand at most three customer turns before "
        "`ESCALATE`, which is the average precision of chance. "
        f"{found['scores']['escalation']['lead'][0]['escalating_at_once']} conversations escalate "
        "with their first customer turn: nobody can be warned of those."
    )
    return f"## Early warning\n\n{text}\n\n" + table(header, rows)


def _faithfulness(faithfulness: Json) -> str:
    rows = [
        [
            aspect,
            language,
            with_interval(each),
            f"{each['movement_without_quote']:.3f}",
            f"{each['movement_without_random']:.3f}",
            f"{each['share_moved_more']:.2f}",
            f"{each['mean_word_count']:.1f}",
        ]
        for aspect, languages in faithfulness["aspects"].items()
        for language, each in languages.items()
    ]
    if not rows:
        return ""
    header = [
        "score",
        "language",
        "ratio",
        "moved without the quote",
        "without random words",
        "share that moved more",
        "words taken out",
    ]
    paired = faithfulness["quotes"] - faithfulness["unpaired"]
    text = (
        f"{paired:,} of {faithfulness['quotes']:,} quotes stand in turns with as many other words; "
        f"{faithfulness['random_draws']} draws of random words each."
    )
    return f"## Quotes explain scores\n\n{text}\n\n" + table(header, rows)


def _sampled(counts: Json) -> str:
    if counts["evaluated"] == counts["available"]:
        return "all"
    return f"{counts['evaluated']:,} of {counts['available']:,}"


def _cell(entry: Json | None) -> str:
    if entry is None:
        return ""
    return f"{entry['value']:.3f} [{entry['low']:.2f}, {entry['high']:.2f}], n {entry['n']:,}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
