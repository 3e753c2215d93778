"""The plots of README.md, from the raw results alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmarks.accuracy.measure import GUIDE
from benchmarks.accuracy.published import AIMS, ALL, LANGUAGE_MEAN, PUBLISHED
from benchmarks.accuracy.sets import GUIDE_SETS
from models.recipe.metrics import ECE_BIN_COUNT

Json = Mapping[str, Any]

# Told apart by people who confuse colours. Source: Okabe and Ito 2008, "Color Universal Design".
OURS: Final = "#0072B2"
SECOND: Final = "#D55E00"
THIRD: Final = "#009E73"
PALE: Final = "#9AA5B1"
INK: Final = "#24292F"
GRID: Final = "#E3E6EA"

STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "moodline",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": PALE,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "legend.frameon": False,
    "figure.facecolor": "white",
}

# Without date and version, the same results make the same file.
_METADATA: Final[dict[str, dict[str, Any]]] = {".svg": {"Date": None}, ".png": {"Software": None}}
_HEADS: Final = (
    "sentiment3",
    "sentiment",
    "urgency",
    "stage",
    "tags",
    "escalation",
    "early_warning",
    "csat",
)
_HEAD_FIGURES: Final = {
    "sentiment_qwk": "sentiment, QWK",
    "sentiment3_macro_f1": "sentiment 3-way, macro-F1",
    "urgency_qwk": "urgency, QWK",
    "stage_macro_f1": "stage, macro-F1",
    "tags_micro_f1": "tags, micro-F1",
    "escalation_macro_f1": "escalation, macro-F1",
    "escalate_average_precision": "escalate, average precision",
    "at_least_watch_average_precision": "watch or more, average precision",
}


def draw_plots(results: Json, folder: Path) -> list[str]:
    """Write every plot for which there are figures.

    Returns:
        Names of the files.
    """
    drawn = []
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, figure in (
            ("sentiment_sets.svg", _sentiment_sets(results)),
            ("languages.svg", _languages(results["figures"])),
            ("heads.svg", _heads(results["figures"])),
            ("tags.svg", _tags(results["tags"])),
            ("reliability.png", _reliability(results["calibration"])),
            ("faithfulness.svg", _faithfulness(results["faithfulness"])),
            ("confusions_heads.svg", _head_confusions(results["confusions"])),
            ("confusions_sets.svg", _set_confusions(results["confusions"])),
        ):
            path = folder / name
            path.unlink(missing_ok=True)
            if figure is not None:
                figure.savefig(path, bbox_inches="tight", dpi=150, metadata=_METADATA[path.suffix])
                drawn.append(name)
    return drawn


def _sentiment_sets(results: Json) -> Figure | None:
    rows = [
        (source, part, figures["sentiment3_macro_f1"])
        for source, parts in results["figures"].items()
        for part, figures in parts.items()
        if part == ALL and "sentiment3_macro_f1" in figures
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: row[2]["value"])
    figure, axes = _single(width=7.2, height=1.0 + 0.27 * len(rows))
    marks = {"VADER": ("s", SECOND), "TextBlob": ("^", THIRD)}
    for place, (source, _, entry) in enumerate(rows):
        _interval(axes, entry, place, label="moodline, 95 % interval" if not place else None)
        lexicons = results["lexicons"].get(source, {})
        # Sets in several languages hold other rows than the English ones that lexicons read.
        if lexicons and lexicons["moodline"]["sentiment3_macro_f1"]["n"] == entry["n"]:
            for name, (mark, colour) in marks.items():
                value = lexicons[name]["sentiment3_macro_f1"]["value"]
                axes.plot(value, place, mark, color=colour, markersize=5, label=name)
    axes.set_yticks(
        range(len(rows)), [f"{source}  (n {entry['n']:,})" for source, _, entry in rows]
    )
    axes.set_xlabel("three-way sentiment, macro-F1")
    _finish_rows(axes, len(rows))
    return figure


def _languages(figures: Json) -> Figure | None:
    parts = {
        part: found["sentiment3_macro_f1"]
        for part, found in figures.get("umsab", {}).items()
        if part != ALL and "sentiment3_macro_f1" in found
    }
    if not parts:
        return None
    order = sorted(parts, key=lambda part: (part != LANGUAGE_MEAN, parts[part]["value"]))
    figure, axes = _single(width=7.2, height=1.0 + 0.3 * len(order))
    marks = {"XLM-T, 278M": ("D", SECOND), "XLM-R, 278M": ("s", THIRD), "fastText": ("^", PALE)}
    for place, part in enumerate(order):
        _interval(axes, parts[part], place, label="moodline, 95 % interval" if not place else None)
        for each in PUBLISHED:
            if each.source == "umsab" and each.part == part:
                mark, colour = marks[each.model]
                axes.plot(
                    each.value,
                    place,
                    mark,
                    color=colour,
                    markersize=5,
                    markerfacecolor="none",
                    label=f"{each.model}, published",
                )
    axes.set_yticks(range(len(order)), [f"{part}  (n {parts[part]['n']:,})" for part in order])
    axes.set_xlabel("UMSAB, three-way sentiment, macro-F1")
    _finish_rows(axes, len(order))
    return figure


def _heads(figures: Json) -> Figure | None:
    sources = [source for source in GUIDE_SETS if source in figures]
    if not sources:
        return None
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    grid = figure.subplots(1, len(sources), sharey=True, squeeze=False)[0]
    names = list(_HEAD_FIGURES)[::-1]
    for axes, source in zip(grid, sources, strict=True):
        found = figures[source][ALL]
        for place, name in enumerate(names):
            if name not in found:
                continue
            _interval(
                axes, found[name], place, label="moodline, 95 % interval" if not place else None
            )
            axes.annotate(
                f"n {found[name]['n']:,}",
                (1.04, place),
                va="center",
                fontsize=7,
            )
            for aim in AIMS:
                if (aim.source, aim.part, aim.figure) == (source, ALL, name):
                    axes.plot(aim.first, place, "|", color=SECOND, markersize=13, label="aim")
        axes.set_title(source)
        axes.set_yticks(range(len(names)), [_HEAD_FIGURES[name] for name in names])
        axes.set_xlim(0, 1.3)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
        axes.grid(axis="x")
        axes.tick_params(length=0)
    _legend_below(figure, grid)
    return figure


def _tags(tags: Json) -> Figure | None:
    found = sorted(
        ((name, each) for name, each in tags.get(GUIDE, {}).items() if each["n"] >= 5),
        key=lambda pair: pair[1]["n"],
    )
    if not found:
        return None
    figure, axes = _single(width=6.0, height=0.9 + 0.24 * len(found))
    for place, (_, each) in enumerate(found):
        _interval(axes, each, place, label="F1, 95 % interval" if not place else None)
    axes.set_yticks(range(len(found)), [f"{name}  (n {each['n']:,})" for name, each in found])
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1; n is how often the tag holds")
    _finish_rows(axes, len(found), is_legend_shown=False)
    return figure


def _reliability(calibration: Json) -> Figure | None:
    columns = [
        (head, scope)
        for scope, heads in ((GUIDE, _HEADS), ("all sets", ("sentiment3",)))
        for head in heads
        if any(head in found for found in calibration[scope].values())
    ]
    languages = sorted({language for found in calibration.values() for language in found})
    if not columns:
        return None
    figure = Figure(figsize=(1.32 * len(columns), 1.45 * len(languages)), layout="constrained")
    grid = figure.subplots(len(languages), len(columns), sharex=True, sharey=True, squeeze=False)
    for axes_row, language in zip(grid, languages, strict=True):
        for axes, (head, scope) in zip(axes_row, columns, strict=True):
            axes.plot([0, 1], [0, 1], color=PALE, linewidth=0.8, linestyle=":")
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1)
            axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
            axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
            axes.tick_params(length=2, labelsize=7)
            axes.set_aspect("equal")
            entry = calibration[scope][language].get(head)
            if entry is not None:
                _reliability_bins(axes, entry)
            if axes in grid[0]:
                axes.set_title(head if scope == GUIDE else f"{head},\n{scope}", fontsize=8)
        axes_row[0].set_ylabel(f"{language}\nright", fontsize=8)
    figure.supxlabel(
        "confidence; each mark is a bin, its area the share of answers", fontsize=8, color=INK
    )
    return figure


def _reliability_bins(axes: Axes, entry: Json) -> None:
    bins = entry["bins"]
    width = 1 / ECE_BIN_COUNT
    for each in bins:
        axes.plot(
            [each["confidence"]] * 2,
            [each["confidence"], each["correct"]],
            color=SECOND,
            linewidth=0.8,
            alpha=0.6,
        )
    axes.scatter(
        [each["confidence"] for each in bins],
        [each["correct"] for each in bins],
        s=[6 + 160 * each["n"] / entry["n"] for each in bins],
        color=OURS,
        alpha=0.75,
        linewidths=0,
        clip_on=False,
    )
    axes.text(
        width / 2,
        0.97,
        f"ECE {entry['ece']:.2f}\nn {entry['n']:,}",
        va="top",
        fontsize=6.5,
        color=INK,
    )


def _faithfulness(faithfulness: Json) -> Figure | None:
    rows = [
        (f"{aspect}, {language}  (n {each['n']:,})", each)
        for aspect, languages in faithfulness["aspects"].items()
        for language, each in languages.items()
    ][::-1]
    if not rows:
        return None
    figure, axes = _single(width=6.0, height=0.9 + 0.27 * len(rows))
    for place, (_, each) in enumerate(rows):
        _interval(axes, each, place, label=None)
    axes.axvline(1.0, color=SECOND, linewidth=1.0)
    axes.annotate(
        "no better than chance",
        (1.0, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, 2),
        textcoords="offset points",
        fontsize=7.5,
        color=SECOND,
    )
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.set_xlim(left=0)
    axes.set_xlabel("movement without the quote ÷ without as many random words")
    _finish_rows(axes, len(rows), is_legend_shown=False)
    return figure


def _head_confusions(confusions: Json) -> Figure | None:
    found = confusions.get(GUIDE, {})
    heads = [h for h in ("sentiment", "urgency", "escalation", "csat", "stage") if h in found]
    if not heads:
        return None
    figure = Figure(figsize=(8.4, 6.6), layout="constrained")
    rows = [heads[start : start + 3] for start in range(0, len(heads), 3)]
    slots: dict[str, Axes] = figure.subplot_mosaic(
        [row + ["."] * (len(rows[0]) - len(row)) for row in rows]
    )
    for head, axes in slots.items():
        _matrix(axes, head, found[head])
    figure.supylabel("truth", fontsize=9)
    figure.supxlabel("said by the model; colour is the share of the truth's row", fontsize=9)
    return figure


def _set_confusions(confusions: Json) -> Figure | None:
    sources = [s for s in confusions if s != GUIDE and "sentiment3" in confusions[s]]
    if not sources:
        return None
    columns = 5
    rows = math.ceil(len(sources) / columns)
    figure = Figure(figsize=(8.6, 1.95 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index >= len(sources):
            axes.axis("off")
            continue
        matrix = {**confusions[sources[index]]["sentiment3"], "classes": ("−", "0", "+")}
        _matrix(axes, sources[index], matrix, title_size=7)
        if index + columns < len(sources):
            axes.set_xticks([])
        if index % columns:
            axes.set_yticks([])
    figure.supylabel("truth", fontsize=9)
    figure.supxlabel("said by the model; colour is the share of the truth's row", fontsize=9)
    return figure


def _matrix(axes: Axes, title: str, matrix: Json, *, title_size: float = 9) -> None:
    counts: Sequence[Sequence[int]] = matrix["counts"]
    classes = [str(name).lower().replace("_", " ") for name in matrix["classes"]]
    size = len(classes)
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            share = count / max(1, sum(row))
            axes.add_patch(
                Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=OURS, alpha=share, linewidth=0)
            )
            if count:
                axes.text(
                    x,
                    y,
                    f"{count:,}",
                    ha="center",
                    va="center",
                    fontsize=7 if size < 8 else 5.5,
                    color="white" if share > 0.55 else INK,
                )
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_aspect("equal")
    is_long = any(len(name) > 2 for name in classes)
    axes.set_xticks(range(size), classes, rotation=90 if is_long else 0)
    axes.set_yticks(range(size), classes)
    axes.tick_params(length=0, labelsize=7)
    axes.set_title(f"{title}\nn {sum(map(sum, counts)):,}", fontsize=title_size)


def _single(*, width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _interval(axes: Axes, entry: Json, place: int, *, label: str | None) -> None:
    axes.plot([entry["low"], entry["high"]], [place, place], color=OURS, linewidth=2, alpha=0.45)
    axes.plot(entry["value"], place, "o", color=OURS, markersize=5, label=label)


def _finish_rows(axes: Axes, count: int, *, is_legend_shown: bool = True) -> None:
    axes.set_ylim(-0.6, count - 0.4)
    axes.grid(axis="x")
    axes.tick_params(length=0)
    if is_legend_shown and axes.figure is not None:
        _legend_below(axes.get_figure(root=True), [axes])


def _legend_below(figure: Figure | None, grid: Sequence[Axes]) -> None:
    assert figure is not None
    handles = {
        label: handle
        for axes in grid
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), fontsize=8
    )
