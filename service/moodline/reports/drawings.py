"""The figures of a report, from its findings. Colours are those of `Colour`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from moodline.reports.cells import SMALL_COUNT
from moodline.reports.figures import Colour, Draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MIN_SHADE: Final = 0.06
_MAX_SHADE: Final = 0.6
_WRITTEN_SHARE: Final = 0.06
"""Narrower parts of a bar have no room for their share."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Mood by tenth: the mean, and what the middle half of the conversations lies between."""

    name: str
    count: int
    means: Sequence[float]
    lower: Sequence[float]
    upper: Sequence[float]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of parts that make a whole."""

    name: str
    parts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Tile:
    """A cell of a matrix.

    Attributes:
        text: What is written in it.
        colour: Of its ground.
        shade: How strong that is, in [0, 1]; None for an outline alone.
    """

    text: str
    colour: Colour
    shade: float | None


def mood_curves(curves: Sequence[Curve]) -> Draw:
    """Draw curves side by side on one scale, each after the first with the first behind it."""

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
        for panel, curve in zip(panels, curves, strict=True):
            _draw_curve(panel, curve, behind=None if curve is curves[0] else curves[0])
        panels[0].set_ylabel("mood, −1 to 1")
        figure.supxlabel("tenth of the conversation", fontsize="medium", color=Colour.MUTED)

    return draw


def _draw_curve(panel: Axes, curve: Curve, *, behind: Curve | None) -> None:
    tenths = range(1, len(curve.means) + 1)
    is_small = curve.count < SMALL_COUNT
    panel.axhline(0, color=Colour.MUTED, linewidth=0.8)
    panel.fill_between(
        tenths, curve.lower, curve.upper, color=Colour.ACCENT, alpha=0.2, linewidth=0
    )
    if behind is not None:
        panel.plot(tenths, behind.means, color=Colour.MUTED, linewidth=1.2, linestyle=(0, (3, 2)))
    panel.plot(
        tenths,
        curve.means,
        color=Colour.ACCENT,
        linewidth=2,
        linestyle=":" if is_small else "-",
        marker="o",
        markersize=3.5,
    )
    mark = " †" if is_small else ""
    panel.set_title(f"{curve.name}, n = {curve.count}{mark}")
    panel.set_ylim(-1, 1)
    panel.set_yticks((-1, -0.5, 0, 0.5, 1))
    panel.set_yticklabels(("−1", "−0.5", "0", "0.5", "1"))
    panel.set_xticks((1, 4, 7, 10))
    panel.grid(axis="y", color=Colour.GRID, linewidth=0.7)


def stacked_bars(
    bars: Sequence[Bar], part_names: Sequence[str], colours: Sequence[tuple[Colour, float]]
) -> Draw:
    """Draw each bar as shares of its own whole.

    Args:
        bars: From top to bottom; none of them is of nothing.
        part_names: Of the parts of every bar.
        colours: Of the parts, with their strength.
    """

    def draw(figure: Figure) -> None:
        panel = figure.subplots()
        for row, bar in enumerate(bars):
            _draw_bar(panel, row, bar, colours)
        _name_parts(panel, part_names, colours)
        panel.set_yticks(range(len(bars)))
        panel.set_yticklabels([bar.name for bar in bars])
        panel.invert_yaxis()
        panel.set_xlim(0, 1)
        panel.set_xticks(())
        panel.tick_params(axis="y", length=0)
        panel.spines[["bottom", "left"]].set_visible(False)

    return draw


def _draw_bar(panel: Axes, row: int, bar: Bar, colours: Sequence[tuple[Colour, float]]) -> None:
    whole, left = sum(bar.parts), 0.0
    for part, (colour, strength) in zip(bar.parts, colours, strict=True):
        width = part / whole
        panel.barh(row, width, left=left, height=0.62, color=colour, alpha=strength, linewidth=0)
        if width >= _WRITTEN_SHARE:
            panel.text(left + width / 2, row, f"{width:.0%}", ha="center", va="center_baseline")
        left += width


def _name_parts(panel: Axes, names: Sequence[str], colours: Sequence[tuple[Colour, float]]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour, alpha=strength, label=name, linewidth=0)
        for name, (colour, strength) in zip(names, colours, strict=True)
    ]
    panel.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(handles),
        borderaxespad=0.2,
        handlelength=1,
        handleheight=1,
        columnspacing=1.4,
    )


def _ground(tile: Tile) -> dict[str, Any]:
    if tile.shade is None:
        return {"facecolor": "none", "edgecolor": Colour.GRID, "linewidth": 0.8}
    strength = _MIN_SHADE + (_MAX_SHADE - _MIN_SHADE) * tile.shade
    return {"facecolor": tile.colour, "alpha": strength, "linewidth": 0}


def matrix(
    row_names: Sequence[str],
    column_names: Sequence[str],
    tile: Callable[[int, int], Tile | None],
    *,
    row_title: str = "",
    column_title: str = "",
) -> Draw:
    """Draw a table of coloured tiles; where there is none, nothing is drawn.

    Args:
        row_names: From top to bottom.
        column_names: From left to right.
        tile: Of a row and a column, by their index.
        row_title: What the rows are.
        column_title: What the columns are.
    """

    def draw(figure: Figure) -> None:
        from matplotlib.patches import Rectangle

        panel = figure.subplots()
        for row in range(len(row_names)):
            for column in range(len(column_names)):
                if (one := tile(row, column)) is None:
                    continue
                panel.add_patch(Rectangle((column - 0.48, row - 0.45), 0.96, 0.9, **_ground(one)))
                panel.text(column, row, one.text, ha="center", va="center_baseline")
        panel.set_xlim(-0.5, len(column_names) - 0.5)
        panel.set_ylim(len(row_names) - 0.5, -0.5)
        panel.set_xticks(range(len(column_names)))
        panel.set_xticklabels(column_names, rotation=35, ha="left", rotation_mode="anchor")
        panel.set_yticks(range(len(row_names)))
        panel.set_yticklabels(row_names)
        panel.xaxis.tick_top()
        panel.xaxis.set_label_position("top")
        panel.set_xlabel(column_title)
        panel.set_ylabel(row_title)
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)

    return draw
