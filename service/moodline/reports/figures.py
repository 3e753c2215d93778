"""Figures as inline SVG that follows the colours and fonts of its page.

matplotlib draws with stand-in colours, each of which becomes a variable of the page's style sheet:
the same drawing is right on light, dark and printed pages. Texts stay texts, so that the browser
shapes Arabic and joins it in the right direction.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[["Figure"], None]
"""Draws a figure; texts are taken as they are, dollar signs included."""

_SVG: Final = "{http://www.w3.org/2000/svg}"
_XLINK: Final = "{http://www.w3.org/1999/xlink}"


class Colour(StrEnum):
    """Stand-ins for the colours of the page; use them wherever matplotlib takes a colour.

    For shades give an alpha, not another colour.
    """

    INK = "#0a0b01"
    MUTED = "#0a0b02"
    GRID = "#0a0b03"
    SURFACE = "#0a0b04"
    ACCENT = "#0a0b05"
    NEGATIVE = "#0a0b06"
    POSITIVE = "#0a0b07"
    WARNING = "#0a0b08"
    SECOND = "#0a0b09"

    @property
    def variable(self) -> str:
        """The variable of the style sheet."""
        return f"var(--{self.name.lower()})"


_STAND_IN: Final = re.compile("|".join(Colour))
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_REFERENCE: Final = re.compile(r"url\(#([^)]+)\)")

_STYLE: Final[dict[str, Any]] = {
    "axes.axisbelow": True,
    "axes.edgecolor": Colour.MUTED,
    "axes.facecolor": "none",
    "axes.grid": False,
    "axes.labelcolor": Colour.MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": Colour.INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "grid.color": Colour.GRID,
    "legend.frameon": False,
    "legend.labelcolor": Colour.INK,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    # Fixed, or the same results made another page each time.
    "svg.hashsalt": "moodline",
    "text.color": Colour.INK,
    "text.parse_math": False,
    "xtick.color": Colour.MUTED,
    "xtick.labelcolor": Colour.INK,
    "ytick.color": Colour.MUTED,
    "ytick.labelcolor": Colour.INK,
}


def inline_svg(
    draw: Draw, *, identifier: str, alternative: str, width_in: float, height_in: float
) -> str:
    """Return a figure as an `<svg>` element to stand in a page.

    Args:
        draw: Draws it.
        identifier: Goes in front of all ids in it, so that figures of a page do not share any.
        alternative: What it shows, in words, for those who do not see it.
        width_in: Width in inches; the page scales it down where it is narrower.
        height_in: Height in inches.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    written = io.BytesIO()
    with mpl.rc_context(), warnings.catch_warnings():
        # Its own fonts only measure here; which glyphs there are is up to the browser.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        figure = Figure(figsize=(width_in, height_in))
        FigureCanvasSVG(figure)
        draw(figure)
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", metadata=no_metadata)
    drawn = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", written.getvalue().decode())
    root = ET.fromstring(drawn)  # noqa: S314 - written by matplotlib a line above
    return _as_part_of_a_page(root, identifier, alternative)


def _as_part_of_a_page(root: ET.Element, identifier: str, alternative: str) -> str:
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        for name, setting in list(element.attrib.items()):
            if name == "id":
                element.set(name, f"{identifier}-{setting}")
            elif name == f"{_XLINK}href":
                del element.attrib[name]
                element.set("href", setting.replace("#", f"#{identifier}-", 1))
            else:
                moved = _REFERENCE.sub(rf"url(#{identifier}-\1)", setting)
                element.set(name, _STAND_IN.sub(_variable, moved))
    # matplotlib's only rule is for `*`, which would be all of the page; the style sheet has it.
    for definitions in root.findall("defs"):
        for style in definitions.findall("style"):
            definitions.remove(style)
    # The page gives the size; the viewBox keeps the proportions.
    for name in ("width", "height"):
        del root.attrib[name]
    root.set("role", "img")
    root.set("aria-label", alternative)
    return ET.tostring(root, encoding="unicode", short_empty_elements=False)


def _variable(match: re.Match[str]) -> str:
    return Colour(match[0]).variable
